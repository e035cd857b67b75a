"""How many ENIs an EC2 instance takes, by its type: EC2 user guide, "Elastic network interface basics"."""

from collections.abc import Mapping
from types import MappingProxyType

#: All ENIs, the instance's own included.
ENIS_OF_TYPE: Mapping[str, int] = MappingProxyType(
    {
        **{"t3.nano": 2, "t3.micro": 2, "t3.small": 3, "t3.medium": 3, "t3.large": 3, "t3.xlarge": 4, "t3.2xlarge": 4},
        **{"m5.large": 3, "m5.xlarge": 4, "m5.2xlarge": 4, "m5.4xlarge": 8, "m5.8xlarge": 8, "m5.12xlarge": 8},
        **{"m5.16xlarge": 15, "m5.24xlarge": 15},
        **{"c5.large": 3, "c5.xlarge": 4, "c5.2xlarge": 4, "c5.4xlarge": 8, "c5.9xlarge": 8, "c5.18xlarge": 15},
        **{"r5.large": 3, "r5.xlarge": 4, "r5.2xlarge": 4, "r5.4xlarge": 8, "r5.24xlarge": 15},
    }
)
#: The primary ENI (eth0) is the node's own and cannot be detached.
NODES_OWN = 1


def eni_limit(instance_type: str) -> int:
    """How many ENIs an instance of this type takes, its own included; 0 for a type that is not known."""
    return ENIS_OF_TYPE.get(instance_type, 0)

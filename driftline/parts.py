"""What a control plane is made of, wherever it runs: the workers, and the devices that events describe."""

from bus.events import BARE_METAL, CLOUD, AzAdded, Event, HostAdded, IngressAdded, LeafAdded, RouterAdded
from projections.borders import border_of
from workers import border, cnc, compute, ingress, ipam, liveness, nova, ovs_agent, policy
from workers.devices.simulated.device import CableDevice
from workers.devices.simulated.fabric import Cable, CableHost, CableLeaf
from workers.effects import INGRESS
from workers.models import MODELS
from workers.worker import Worker

#: The modules of the workers that every network needs.
_CORE = (
    nova,
    compute,
    ovs_agent,
    cnc,
    ipam,
    liveness,
    policy,
    ingress,
    border,
)


def all_workers() -> dict[str, Worker]:
    """All workers by name: those that every network needs, and those that network models bring along."""
    of_models = (worker for model in MODELS.values() for worker in model.workers)
    return {worker.name: worker for worker in (*(module.WORKER for module in _CORE), *of_models)}


def cable_of(event: Event) -> Cable | None:
    """The device that ``event`` describes, None if it describes none."""
    match event:
        case LeafAdded(leaf=leaf, vtep=vtep, capacity=capacity, az=az):
            return CableLeaf(leaf, vtep, capacity, az)
        case AzAdded(az=az, region=region):
            return CableDevice(border_of(az), "border", {"az": az, "region": region})
        case HostAdded(host=host, leaf_a=leaf_a, leaf_b=leaf_b, interface=interface, layout=layout, kind=kind):
            return CableHost(host, leaf_a, leaf_b, interface, layout, kind == BARE_METAL)
        case RouterAdded(router=router):
            return CableDevice(router, "router")
        case IngressAdded(ingress=name):
            return CableDevice(name, INGRESS)
        case _:
            return None


def beyond_of(event: Event) -> list[Cable]:
    """What else ``event`` says there is: a node is an instance of a public cloud."""
    match event:
        case HostAdded(kind="node"):
            return [CableDevice(CLOUD, "cloud")]
        case _:
            return []

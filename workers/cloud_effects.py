"""What ``cloud`` wants of the public cloud: one ENI for each port, attached to one instance or to none (Figure 13).

A cloud remembers for each ENI the newest epoch that it was told and ignores older ones, as a leaf does.
"""

from typing import Literal

from workers.effect import Effect, Slot


class EniEffect(Effect, frozen=True, kw_only=True):
    """An effect on the ENI of one port, answering to the change of need at log position ``epoch``."""

    port: str
    az: str
    epoch: int

    @property
    def slot(self) -> Slot:
        return (self.device, "eni", self.port)

    @property
    def version(self) -> int:
        return self.epoch


class EnsureEni(EniEffect, frozen=True, kw_only=True):
    """The ENI exists in the subnet, with these addresses, and is attached to no instance.

    ``detach``: it may be attached somewhere. Then an instance that is dead is not asked (EC2: ``Force``).
    """

    subnet: str
    vpc: str
    ip: str
    secondary_ips: tuple[str, ...]
    generation: int
    detach: bool = False

    @property
    def withdraws(self) -> bool:
        return self.detach


class AttachEni(EnsureEni, frozen=True, kw_only=True):
    """As ``EnsureEni``, but attached to the instance of ``node``, which is of ``instance_type`` and in ``node_az``."""

    node: str
    node_az: str
    instance_type: str

    @property
    def withdraws(self) -> bool:
        return False


class DeleteEni(EniEffect, frozen=True, kw_only=True):
    """No ENI of the port exists, attached or not, and no floating IP."""

    @property
    def withdraws(self) -> bool:
        return True


class AssociateFloatingIp(EniEffect, frozen=True, kw_only=True):
    """The port has a floating IP, which leads to its primary address ``ip``. Refused while it has no ENI."""

    ip: str

    @property
    def slot(self) -> Slot:
        return (self.device, "eip", self.port)


class AuditCloud(Effect, frozen=True, kw_only=True):
    """Look, and change nothing: where does the cloud differ? ``enis``: by port, the node it is on; empty for none."""

    epoch: int
    enis: dict[str, str]

    @property
    def slot(self) -> Slot:
        return (self.device, "audit")

    @property
    def version(self) -> int:
        return self.epoch


class CollectLeak(Effect, frozen=True, kw_only=True):
    """What leaked does not exist, unless it is in use by now or belongs to another port."""

    kind: Literal["eni", "eip"]
    resource: str
    port: str
    epoch: int

    @property
    def slot(self) -> Slot:
        return (self.device, "leak", self.resource)

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True


CloudEffect = EnsureEni | AttachEni | DeleteEni | AssociateFloatingIp | AuditCloud | CollectLeak
#: The same, to ask whether an effect is one.
CLOUD_EFFECTS = (EnsureEni, AttachEni, DeleteEni, AssociateFloatingIp, AuditCloud, CollectLeak)

"""What a control plane is made of, wherever it runs: the workers, and the devices that events describe."""

from bus.events import AzAdded, Event, HostAdded, LeafAdded
from projections.borders import border_of
from workers import border, cnc, compute, ipam, liveness, nova, ovs_agent
from workers.devices.simulated.device import CableDevice, all_kinds
from workers.devices.simulated.fabric import Cable, CableHost, CableLeaf
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
    border,
)


def all_workers() -> dict[str, Worker]:
    """All workers by name: those that every network needs, and those that network models bring along."""
    of_models = (worker for model in MODELS.values() for worker in model.workers)
    return {worker.name: worker for worker in (*(module.WORKER for module in _CORE), *of_models)}


def cable_of(event: Event) -> Cable | None:
    """The device that ``event`` describes, None if it describes none."""
    for kind in all_kinds().values():
        device = kind.described_by(event)
        if device is not None:
            return device
    match event:
        case LeafAdded(leaf=leaf, vtep=vtep, capacity=capacity, az=az):
            return CableLeaf(leaf, vtep, capacity, az)
        case AzAdded(az=az, region=region):
            return CableDevice(border_of(az), "border", {"az": az, "region": region})
        case HostAdded(host=host, leaf_a=leaf_a, leaf_b=leaf_b, interface=interface):
            return CableHost(host, leaf_a, leaf_b, interface)
        case _:
            return None

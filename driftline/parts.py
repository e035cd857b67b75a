"""What a control plane is made of, wherever it runs: the workers, and the devices that events describe."""

from bus.events import BARE_METAL, Event, HostAdded, LeafAdded
from workers import border, cnc, compute, ingress, ipam, liveness, nova, ovs_agent, policy
from workers.devices.simulated.device import all_kinds
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
    policy,
    ingress,
    border,
)


def all_workers() -> dict[str, Worker]:
    """All workers by name: those that every network needs, and those that network models bring along."""
    of_models = (worker for model in MODELS.values() for worker in model.workers)
    return {worker.name: worker for worker in (*(module.WORKER for module in _CORE), *of_models)}


def cables_of(event: Event) -> list[Cable]:
    """The devices that ``event`` describes: a leaf, a host, and of other kinds whatever says that it is described."""
    further: list[Cable] = []
    for kind in all_kinds().values():
        device = kind.described_by(event)
        if device is not None:
            further.append(device)
    match event:
        case LeafAdded(leaf=leaf, vtep=vtep, capacity=capacity, az=az):
            return [CableLeaf(leaf, vtep, capacity, az), *further]
        case HostAdded(host=host, leaf_a=leaf_a, leaf_b=leaf_b, interface=interface, layout=layout, kind=host_kind):
            return [CableHost(host, leaf_a, leaf_b, interface, layout, host_kind == BARE_METAL), *further]
        case _:
            return further

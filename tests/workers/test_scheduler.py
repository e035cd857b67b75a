"""The scheduler's index does not grow with the number of changes."""

from bus.events import HostAdded
from projections.hosts import Hosts
from projections.instances import Instances
from projections.world import World
from tests.projections.given import record
from tests.workers.playbook import deleted, scheduled
from workers.scheduler import Scheduler


def test_a_host_is_queued_once_for_each_load() -> None:
    world, instances, hosts = World(), Instances(), Hosts()
    scheduler = Scheduler(world, instances, hosts)
    for event in [
        HostAdded(host="h1", az="az1", leaf_a="l1", leaf_b="l2", interface="e1", capacity=4),
        *(event for n in range(200) for event in (scheduled(f"i{n}"), deleted(f"i{n}"))),
    ]:
        for fold in (world, instances, scheduler):
            fold.evolve(record(event))
    assert instances.load["h1"] == 0
    assert sum(len(heap) for heap in scheduler._heaps.values()) <= 2  # what is to be bounded

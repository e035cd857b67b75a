"""CNC and duplicate MACs: asked of a leaf after each drift between pairs, said once, cleared on request."""

from bus.events import (
    InstanceDrifted,
    LeafAudited,
    LeafMacCleared,
    LeafMacClearRequested,
    LeafMacDuplicateDetected,
    MacDuplicate,
)
from tests.workers.playbook import AZ, allocated, claimed, given
from workers import cnc
from workers.effects import AuditLeaf, ClearMac, LookForDuplicates, Result
from workers.leaf_audits import CncState

FOUND = MacDuplicate(vni=5001, mac="fa:16:0a:00:01:02", port="i1-0", sequence=5, detected_us=7)
SAID = LeafMacDuplicateDetected(leaf="l3", az="az2", duplicates=(FOUND,))


def drifted(host: str, from_host: str = "h1") -> InstanceDrifted:
    return InstanceDrifted(instance="i1", az="az2", host=host, from_host=from_host, port="i1-0", generation=2)


def test_a_leaf_is_asked_after_a_drift_to_another_pair() -> None:
    story = given(cnc, allocated(), claimed(host="h3"))
    epoch = story.machine.position + 1
    story.when(drifted("h3")).then(LookForDuplicates(device="l3", az="az2", epoch=epoch))


def test_below_the_same_pair_no_mac_moves() -> None:
    given(cnc, allocated(), claimed(host="h2")).when(drifted("h2")).then_nothing()


def test_what_was_said_is_not_asked_for_again() -> None:
    story = given(cnc, allocated(), claimed(host="h3"), SAID)
    epoch = story.machine.position + 1
    story.when(drifted("h3")).then(LookForDuplicates(device="l3", az="az2", epoch=epoch, known=(FOUND,)))


def test_a_later_finding_takes_the_place_of_the_first() -> None:
    later = MacDuplicate(vni=5001, mac=FOUND.mac, port="i2-0", sequence=9, detected_us=99)
    again = LeafMacDuplicateDetected(leaf="l1", az=AZ, duplicates=(later,))
    state = given(cnc, SAID, again).machine.state
    assert isinstance(state, CncState)
    assert state.duplicates.known == (later,)


def test_what_a_leaf_has_found_goes_to_the_log() -> None:
    look = LookForDuplicates(device="l3", az="az2", epoch=3)
    assert tuple(cnc.settle(look, Result(found=(FOUND,)))) == (SAID,)
    assert tuple(cnc.settle(look, Result())) == ()
    assert tuple(cnc.settle(look, Result(error="no power"))) == ()
    audit = AuditLeaf(device="l3", az="az2", epoch=3, entries=())
    audited = LeafAudited(leaf="l3", az="az2", epoch=3)
    assert tuple(cnc.settle(audit, Result(found=(FOUND,)))) == (audited, SAID)


def test_an_operator_has_it_cleared() -> None:
    story = given(cnc, SAID)
    epoch = story.machine.position + 1
    clear = ClearMac(device="l3", az="az2", epoch=epoch, vni=5001, mac=FOUND.mac)
    story.when(LeafMacClearRequested(leaf="l3", az="az2", vni=5001, mac=FOUND.mac)).then(clear)
    cleared = LeafMacCleared(leaf="l3", az="az2", vni=5001, mac=FOUND.mac, error="it is not frozen")
    assert tuple(cnc.settle(clear, Result("it is not frozen"))) == (cleared,)

"""Whatever is done to the devices, in whatever order."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.devices.world import (
    BLUE,
    CABLES,
    HOSTS,
    RED_1,
    RED_2,
    Port,
    audit_host,
    audit_leaf,
    cabled,
    flows,
    leaf_vlan,
    no_flows,
    plug,
    resync_flows,
    resync_host,
    unplug,
    wish,
)
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.journal import Journal
from workers.effects import AnyEffect, WishedEntry

LEAVES = ["l1", "l2", "l3", "l4"]
INTERFACES = ["Ethernet1", "Ethernet2"]
PORTS = ["a", "b", "c"]
# VLAN 11 in two VNIs, VNI 5011 in two VRFs and two gateways on VNI 5012: some wishes are refused.
NETS = [RED_1, RED_2, BLUE, BLUE._replace(vlan=11), RED_1._replace(vrf="blue"), RED_2._replace(prefix="10.0.9")]

ports = st.builds(
    Port, st.sampled_from(PORTS), st.sampled_from(sorted(HOSTS)), st.sampled_from(NETS), st.integers(2, 4)
)
generations = st.integers(1, 4)
host_names = st.sampled_from(sorted(HOSTS))
epochs = st.integers(1, 4)
keeps = st.dictionaries(st.sampled_from(PORTS), generations)
wishes = st.dictionaries(st.sampled_from(PORTS), st.builds(wish, ports, generations))
entries = st.builds(WishedEntry, st.sampled_from(INTERFACES), st.integers(11, 13), st.integers(5011, 5013))
effects = st.one_of(
    *(st.builds(kind, ports, generations) for kind in (plug, unplug, no_flows)),
    st.builds(flows, ports, generations, st.integers(0, 4)),
    st.builds(resync_host, host_names, epochs, keeps),
    st.builds(resync_flows, host_names, epochs, wishes),
    st.builds(audit_host, host_names, keeps, wishes),
    st.builds(audit_leaf, st.sampled_from(LEAVES), entries),
    st.builds(
        leaf_vlan,
        st.sampled_from(LEAVES),
        st.sampled_from(INTERFACES),
        st.sampled_from(NETS),
        st.integers(1, 5),
        present=st.booleans(),
    ),
)
sequences = st.lists(effects, max_size=60)
relaxed = settings(deadline=None)  # a busy machine is no failure


def after(sequence: Sequence[AnyEffect]) -> Fabric:
    fabric = cabled()
    for effect in sequence:
        fabric.apply(effect)
    return fabric


@relaxed
@given(sequences)
def test_each_effect_twice_is_each_effect_once(sequence: list[AnyEffect]) -> None:
    doubled = [effect for effect in sequence for _ in range(2)]

    assert list(after(doubled).states()) == list(after(sequence).states())


@relaxed
@given(sequences, st.lists(st.integers(0, 60), max_size=3), st.booleans())
def test_devices_rebuilt_from_the_journal_are_the_same(
    sequence: list[AnyEffect], restarts: list[int], compact: bool
) -> None:
    limit = 0 if compact else 1000
    cuts = sorted(restarts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        with Journal(path) as journal:
            journal.write(CABLES)
        for start, end in zip([0, *cuts], [*cuts, len(sequence)], strict=True):
            with Journal(path, compact_above_lines=limit) as journal:
                journal.write(sequence[start:end])
        with Journal(path, compact_above_lines=limit) as journal:
            rebuilt = journal.fabric

    assert list(rebuilt.states()) == list(after(sequence).states())
    check_indexes(rebuilt)


@relaxed
@given(sequences)
def test_what_is_kept_for_speed_agrees_with_what_it_is_kept_from(sequence: list[AnyEffect]) -> None:
    check_indexes(after(sequence))


def check_indexes(fabric: Fabric) -> None:
    for port in PORTS:
        assert fabric.port_locations(port) == [h for h in fabric.hosts if port in fabric.host(h).vnics]
    for name in fabric.hosts:
        host = fabric.host(name)
        assert host.trunk == {flow.vlan for flow in host.flows.values()}
        for port, vnic in host.vnics.items():
            assert (host, port) in fabric.places_of_ip(vnic.ip)
            assert (host, port) in fabric.places_of_mac(vnic.mac)
    for name in fabric.leaves:
        leaf = fabric.leaf(name)
        entries = [entry for vlans in leaf.interfaces.values() for entry in vlans.values()]
        assert leaf.size == len(entries)
        assert {(vni, vrf.vrf) for vni, vrf in leaf.vnis.items()} == {(entry.vni, entry.vrf) for entry in entries}
        assert {(vni, gateway) for vni, vrf in leaf.vnis.items() for gateway in vrf.gateways} == {
            (entry.vni, entry.gateway) for entry in entries
        }
        for vlan in {vlan for vlans in leaf.interfaces.values() for vlan in vlans}:
            assert len({vlans[vlan].vni for vlans in leaf.interfaces.values() if vlan in vlans}) == 1


@relaxed
@given(sequences, st.randoms(use_true_random=False))
def test_removing_everything_leaves_nothing(sequence: list[AnyEffect], random: Random) -> None:
    fabric = after(sequence)
    removals: list[AnyEffect] = [
        kind(Port(port, host, RED_1, 2), 5) for host in HOSTS for port in PORTS for kind in (unplug, no_flows)
    ]
    removals += [
        leaf_vlan(leaf, interface, net, 6, present=False)
        for leaf in LEAVES
        for interface in INTERFACES
        for net in (RED_1, RED_2, BLUE)
    ]
    random.shuffle(removals)
    for effect in removals:
        assert fabric.apply(effect) == ""

    assert not fabric.leftovers()
    assert fabric.dump() == {"hosts": {}, "leaves": {}}


@relaxed
@given(sequences)
def test_a_refused_effect_changes_nothing_that_the_devices_hold(sequence: list[AnyEffect]) -> None:
    fabric = cabled()
    for effect in sequence:
        before = fabric.dump()
        if fabric.apply(effect):
            assert fabric.dump() == before


@relaxed
@given(sequences, sequences)
def test_what_was_withdrawn_never_comes_back(before: list[AnyEffect], late: list[AnyEffect]) -> None:
    """Nothing of a generation is left, or can be given, once the host was told to take it or a newer one away."""
    fabric = after(before)
    for host in HOSTS:
        for port in PORTS:
            assert fabric.apply(unplug(Port(port, host, RED_1, 2), 4)) == ""
            assert fabric.apply(no_flows(Port(port, host, RED_1, 2), 4)) == ""
    for effect in late:
        fabric.apply(effect)
    left = fabric.leftovers()
    assert (left.vnics, left.flows, left.trunk_vlans) == (0, 0, 0)


@relaxed
@given(sequences)
def test_effects_survive_their_encoding(sequence: list[AnyEffect]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(sequence), type=list[AnyEffect]) == sequence

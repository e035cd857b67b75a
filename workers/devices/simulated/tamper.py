"""What somebody does to devices by hand, behind the back of the control plane: no fence and no epoch is asked.

``Fabric.tamper`` does it, an audit is to find it.
"""

from collections.abc import Container
from typing import Annotated

import msgspec

from bus.events.base import Generation, Vlan, Vni
from bus.events.device import DeviceTable
from bus.events.identifiers import Token
from workers.devices.simulated.device import Tabled
from workers.devices.simulated.host import Flow, HostDevice, Vnic
from workers.devices.simulated.leaf import Entry, LeafDevice


class DropVnic(msgspec.Struct, frozen=True, tag=True):
    """The vNIC of ``port`` goes."""

    host: Token
    port: Token


class AddVnic(msgspec.Struct, frozen=True, tag=True):
    """A vNIC that nobody asked for comes, in the place of any that the port has there."""

    host: Token
    port: Token
    mac: str
    ip: str
    prefix_length: Annotated[int, msgspec.Meta(ge=0, le=32)]
    gateway: str
    generation: Generation = 1


class DropFlow(msgspec.Struct, frozen=True, tag=True):
    """The flows of ``port`` go."""

    host: Token
    port: Token


class AddFlow(msgspec.Struct, frozen=True, tag=True):
    """Flows that nobody asked for come, in the place of any that the port has there."""

    host: Token
    port: Token
    mac: str
    vlan: Vlan
    generation: Generation = 1


class Announce(msgspec.Struct, frozen=True, tag=True):
    """The vNIC of ``port`` says that it is here (gratuitous ARP, RFC 5227): its leaves hear it anew."""

    host: Token
    port: Token


class DropEntry(msgspec.Struct, frozen=True, tag=True):
    """The interface carries the VLAN no more."""

    leaf: Token
    interface: Token
    vlan: Vlan


class AddEntry(msgspec.Struct, frozen=True, tag=True):
    """The interface carries a VLAN that nobody asked for, or maps it to another VNI."""

    leaf: Token
    interface: Token
    vlan: Vlan
    vni: Vni
    vrf: str
    gateway: str


class DropPolicy(msgspec.Struct, frozen=True, tag=True):
    """The rules of ``port`` go."""

    host: Token
    port: Token


class DropRow(msgspec.Struct, frozen=True, tag=True):
    """An entry of a table (``bus.events.DeviceTable``) of a device of any kind goes."""

    device: Token
    table: DeviceTable
    key: str


HostAct = DropVnic | AddVnic | DropFlow | AddFlow | Announce | DropPolicy
LeafAct = DropEntry | AddEntry
Act = HostAct | LeafAct | DropRow


def device_of(act: Act) -> str:
    """Whom ``act`` is done to."""
    match act:
        case DropRow(device=device):
            return device
        case DropEntry(leaf=leaf) | AddEntry(leaf=leaf):
            return leaf
        case _:
            return act.host


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Act).decode


def check(act: Act) -> None:
    """Raises ValueError for a value out of range: nobody could tell of it in an event or read it in a journal."""
    try:
        _decode(_encode(act))
    except msgspec.ValidationError as error:
        raise ValueError(f"{type(act).__name__}: {error}") from error


def tamper_with_host(host: HostDevice, act: HostAct) -> None:
    """Raises ValueError if there is nothing to take away or to speak, or no bridge to add flows to."""
    match act:
        case AddVnic():
            host.vnics[act.port] = Vnic(act.mac, act.ip, act.prefix_length, act.gateway, act.generation)
        case AddFlow():
            if host.bare:
                raise ValueError(f"host {host.host}: bare metal has no br-int")
            host.put_flow(act.port, Flow(act.vlan, act.mac, act.generation))
        case DropVnic(port=port) | Announce(port=port):
            _must_hold(host, "vNIC", port, host.vnics)
            if isinstance(act, DropVnic):
                del host.vnics[port]
        case DropPolicy(port=port):
            _must_hold(host, "policy", port, host.policies)
            del host.policies[port]
        case DropFlow(port=port):
            _must_hold(host, "flows", port, host.flows)
            host.drop_flow(port)


def tamper_with_table(device: Tabled, act: DropRow) -> None:
    """Raises ValueError if there is nothing to take away."""
    if act.key not in device.table(act.table):
        raise ValueError(f"{act.device}: no {act.key} in its table {act.table}")
    device.drop_row(act.table, act.key)


def _must_hold(host: HostDevice, what: str, port: str, held: Container[str]) -> None:
    if port not in held:
        raise ValueError(f"host {host.host}: no {what} of port {port}")


def tamper_with_leaf(leaf: LeafDevice, act: LeafAct) -> None:
    """Raises ValueError if there is nothing to take away, or the leaf cannot carry what is added."""
    if isinstance(act, AddEntry):
        error = leaf.put(act.interface, act.vlan, Entry(act.vni, act.vrf, act.gateway))
        if error:
            raise ValueError(error)
    elif leaf.entry(act.interface, act.vlan) is None:
        raise ValueError(f"leaf {leaf.leaf}: {act.interface} does not carry VLAN {act.vlan}")
    else:
        leaf.drop(act.interface, act.vlan)

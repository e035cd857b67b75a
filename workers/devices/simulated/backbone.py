"""Between VRFs and between regions: what the borders of the zones hold, and nothing else."""

from collections import deque
from itertools import pairwise

from workers.devices.simulated.attachment import StoppedError
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.kinds.border import BorderDevice
from workers.devices.simulated.leaf import LeafDevice


def border_at(fabric: Fabric, leaf: LeafDevice) -> BorderDevice | None:
    """The border of the leaf's zone, None if it has none."""
    for name in fabric.devices_of("border"):
        device = fabric.device(name)
        if isinstance(device, BorderDevice) and device.az == leaf.az:
            return device
    return None


def leaked_into(fabric: Fabric, leaf: LeafDevice, vrf: str) -> set[str]:
    """The VRFs that a packet in ``vrf`` on ``leaf`` can leave it for."""
    border = border_at(fabric, leaf)
    return border.leaks(vrf) if border is not None else set()


def between(fabric: Fabric, near: LeafDevice, far: LeafDevice) -> list[str]:
    """The hops from the one leaf's zone to the other's beyond the spines: borders and lines, if the regions differ.

    A packet passes through hubs only: the others are spokes. Raises StoppedError where no line leads on.
    """
    source, target = border_at(fabric, near), border_at(fabric, far)
    if source is None or target is None or source.region == target.region:
        return []
    regions = _path(fabric, source.region, target.region)
    if not regions:
        raise StoppedError(f"border {source.name}: no line from {source.region} to {target.region}")
    lines = [f"line {one} to {other}" for one, other in pairwise(regions)]
    return [source.name, *lines, target.name]


def _path(fabric: Fabric, source: str, target: str) -> list[str]:
    """The regions on the shortest way, both ends included; empty if there is none."""
    lines, hubs = _lines(fabric)
    ways = deque([[source]])
    seen = {source}
    while ways:
        way = ways.popleft()
        if way[-1] == target:
            return way
        if way[-1] != source and way[-1] not in hubs:
            continue
        for region in sorted(lines.get(way[-1], set()) - seen):
            seen.add(region)
            ways.append([*way, region])
    return []


def _lines(fabric: Fabric) -> tuple[dict[str, set[str]], set[str]]:
    """By region, where a line leads that all borders at both ends hold; and the regions that may be passed through."""
    borders: dict[str, list[BorderDevice]] = {}
    for name in fabric.devices_of("border"):
        device = fabric.device(name)
        if isinstance(device, BorderDevice):
            borders.setdefault(device.region, []).append(device)
    lines: dict[str, set[str]] = {}
    for region, here in borders.items():
        for other, there in borders.items():
            if all(other in one.lines() for one in here) and all(region in one.lines() for one in there):
                lines.setdefault(region, set()).add(other)
    return lines, {hub for here in borders.values() for one in here for hub in one.hubs()}

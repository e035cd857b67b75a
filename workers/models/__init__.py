"""The network models, one file each: every module of this package with a ``MODEL`` is one."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bus.events import POLICY, NetworkCreated
from projections.addresses import Addresses
from projections.world import HostRow, NetworkRow, World
from workers.models.model import BARE_METAL, IPAM, NetworkModel, Refusal, Segment

_MODELS: dict[str, NetworkModel] = {}

#: The models by name.
MODELS: Mapping[str, NetworkModel] = MappingProxyType(_MODELS)


def register(model: NetworkModel) -> None:
    """Make ``model`` known. Raises ValueError if another has its name."""
    if _MODELS.setdefault(model.name, model) is not model:
        raise ValueError(f"name: there is a network model {model.name} already")


def forget(name: str) -> None:
    """Undo ``register``, for a test that brings a model of its own. Raises KeyError."""
    del _MODELS[name]


def model_of(network: NetworkRow) -> NetworkModel | None:
    """The model of ``network``, None if this version does not know it."""
    return _MODELS.get(network.model)


def allocator_of(network: NetworkRow) -> str:
    """The worker that grants the ports of ``network``."""
    model = model_of(network)
    return model.allocator if model else IPAM


def label_problem(world: World, network: NetworkCreated) -> Refusal | None:
    """Why ``network`` cannot carry its labels: one IPAM answers a request, so all of a label's networks are its own."""
    allocator = _MODELS[network.model].allocator
    for label in network.labels:
        for name in world.by_label.get(label, ()):
            other = allocator_of(world.networks[name])
            if other != allocator:
                reason = f"the label is that of network {name}, whose addresses {other} gives out, and not {allocator}"
                return Refusal(reason, "labels", label)
    return None


def addresses_of(network: NetworkRow) -> tuple[int, int]:
    """How many addresses a port of ``network`` needs, and how many at the start of its subnet are not given out."""
    model = model_of(network)
    return (1 + model.secondary_ips, model.reserved) if model else (1, 0)


def host_kinds(networks: Iterable[NetworkRow], instance_kind: str) -> frozenset[str]:
    """The kinds of host that can carry an instance of this kind in any of ``networks``."""
    models = [model for model in map(model_of, networks) if model is not None]
    kinds = frozenset[str]().union(*(model.host_kinds for model in models))
    return kinds & {BARE_METAL} if instance_kind == "bm" else kinds - {BARE_METAL}


def segment_on(world: World, addresses: Addresses, network: NetworkRow, host: HostRow) -> Segment | Refusal:
    """How a port of ``network`` is realised on ``host``, or why it cannot be."""
    model = model_of(network)
    if model is None:
        return Refusal("unknown network model", "network", f"{network.network} ({network.model})")
    if host.kind not in model.host_kinds:
        return Refusal(f"a {host.kind} host carries no {model.name} network", "host", f"{host.host} ({host.kind})")
    region, wanted = world.region_of.get(host.az, ""), world.vpcs[network.vpc].region
    if wanted and wanted != region:
        return Refusal(f"VPC {network.vpc} is in region {wanted}, the host in {region}", "host", host.host)
    segment = model.segment(world, addresses, network, host)
    if not network.policy or isinstance(segment, Refusal):
        return segment
    if host.kind == BARE_METAL:  # closed when in doubt: nothing there could keep anything out
        return Refusal("bare metal enforces no policy", "network", network.network)
    return segment._replace(policy_by=POLICY)


for _module in pkgutil.iter_modules(__path__):
    _found = getattr(importlib.import_module(f"{__name__}.{_module.name}"), "MODEL", None)
    if _found is not None:
        register(_found)

__all__ = [
    "MODELS",
    "NetworkModel",
    "Refusal",
    "Segment",
    "addresses_of",
    "allocator_of",
    "forget",
    "host_kinds",
    "model_of",
    "register",
    "segment_on",
]

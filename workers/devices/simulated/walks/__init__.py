"""The walks: every module of this package with a ``WALK`` is one, every one with an ``ADMIT`` a filter behind them."""

import importlib
import pkgutil

from workers.devices.simulated.walks.walk import Admit, Onward, Packet, Walk

_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
WALKS: list[Walk] = sorted(
    (module.WALK for module in _MODULES if hasattr(module, "WALK")), key=lambda walk: (walk.rank, walk.name)
)
ONWARDS: list[Onward] = [module.ONWARD for module in _MODULES if hasattr(module, "ONWARD")]
ADMITS: list[Admit] = [module.ADMIT for module in _MODULES if hasattr(module, "ADMIT")]

__all__ = ["ADMITS", "ONWARDS", "WALKS", "Admit", "Onward", "Packet", "Walk"]

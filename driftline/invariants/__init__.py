"""All 24 invariants as code, in one place: for property tests, the simulator and ``verify --invariants``."""

from driftline.invariants.auditor import Auditor
from driftline.invariants.table import EDGES, INVARIANTS, NONE, Invariant, Violation

__all__ = ["EDGES", "INVARIANTS", "NONE", "Auditor", "Invariant", "Violation"]

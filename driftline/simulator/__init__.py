"""The simulator: the real workers over a log in memory, in virtual time, under faults drawn from one seed.

The same seed gives the same run. What must hold is judged by ``driftline.invariants`` after each step.
"""

from driftline.simulator.run import Failure, Outcome, simulate
from driftline.simulator.scenario import Scenario, draw

__all__ = ["Failure", "Outcome", "Scenario", "draw", "simulate"]

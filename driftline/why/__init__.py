"""Why a port or an instance is in its state: what it waits for, since when, who should act, what failed.

``facts`` is what is asked, ``answer`` what is answered; ``coming`` and ``leaving`` are the two ways of a port,
``failures`` what went wrong on them, ``explain`` puts all together. PURE: the same facts give the same answer.
"""

from driftline.why.answer import Failure, Next, Wait, Why
from driftline.why.explain import explain
from driftline.why.facts import Facts, Subject, find

__all__ = ["Facts", "Failure", "Next", "Subject", "Wait", "Why", "explain", "find"]

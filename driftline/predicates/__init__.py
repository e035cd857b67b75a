"""Predicates over an event and the state before and after it, as people write them. PURE: no clock, no I/O.

``language`` is the grammar and reads a text, ``terms`` are what it is read into.

    port web-0 leaves ACTIVE_ACTIVE            event.type == port.refused.v1 and event.field == leaf
    instance web-0 enters failed               ports[web-0].host == h2 and not ports[web-0].bound
    invariant 10 breaks                        leaf_interfaces[leaf1, e1, 7].state == error
"""

from driftline.predicates.language import PredicateError, parse
from driftline.predicates.terms import Moment, Place, Predicate, in_state

__all__ = ["Moment", "Place", "Predicate", "PredicateError", "in_state", "parse"]

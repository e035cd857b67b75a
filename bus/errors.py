"""What can go wrong on the bus, split by who is at fault."""


class BusError(Exception):
    """Base of all errors of the bus."""


class MalformedEvent(BusError):
    """The message is not an event: the publisher's fault. Its text names the field."""


class UnknownEventType(BusError):
    """The message is an event of a type this version does not know: nobody's fault; it is skipped and counted."""


class Conflict(BusError):
    """Somebody else wrote the aggregate meanwhile: refold and decide again."""


class LogUnavailable(BusError):
    """The log cannot be reached, or did not answer in time. The append may or may not have happened."""


class BusClosed(BusError):
    """The connection has ended for good: the server refused what was sent. Trying again on it is of no use."""


class LogMismatch(BusError):
    """The log is not the one the caller has worked with (another stream, or a truncated one)."""


class NoResponder(BusError):
    """Nobody serves the subject."""


class NoReply(BusError, TimeoutError):
    """Somebody serves the subject, and its replies have stopped coming."""


class CallFailed(BusError):
    """The one who serves the subject answered with an error."""


class EmbeddedError(BusError):
    """A server of our own did not start, or died. Its text ends with the server's last log lines."""


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of the errors that a task group has wrapped, for those who catch errors by their type."""
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf

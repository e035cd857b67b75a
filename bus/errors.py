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


class LogMismatch(BusError):
    """The log is not the one the caller has worked with (another stream, or a truncated one)."""

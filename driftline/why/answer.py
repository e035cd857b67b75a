"""What ``why`` answers. Times are microseconds since the Unix epoch, UTC; positions are those of the log."""

import msgspec


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is still to happen. ``who`` should act, and ``where``: on which host, leaf or other device.

    ``position``: the event since which it waits, at ``since_us``. ``error``: what was last said of it, empty if nothing
    was; ``failed``: how often it was said not to work. ``behind``: by how many events the checkpoint of ``who`` is
    behind the log, -1 if it has never run, 0 also where that cannot be known (a recording).
    """

    what: str
    who: str
    where: str = ""
    since_us: int = 0
    position: int = 0
    failed: int = 0
    error: str = ""
    behind: int = 0


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An event that said that something did not work."""

    position: int
    time_us: int
    actor: str
    type: str
    text: str


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """What happens by itself at ``at_us``, and who does it."""

    at_us: int
    who: str
    what: str


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer. ``position`` and ``now_us``: as of when. ``well``: there is nothing to wait for or to mend."""

    instance: str
    port: str
    position: int
    now_us: int
    summary: str
    since_us: int = 0
    well: bool = False
    waits: list[Wait] = []
    failures: list[Failure] = []
    next: list[Next] = []
    advice: list[str] = []

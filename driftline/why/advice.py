"""What a person can do, in sentences that name a command where there is one."""

from collections.abc import Iterable, Iterator

from driftline.why.answer import Failure, Wait
from driftline.why.facts import Facts
from projections.instances import InstanceRow

#: From so many events on, a worker that is behind is the reason for waiting, not what it waits for.
FAR_BEHIND = 1000


def advice(facts: Facts, row: InstanceRow | None, waits: list[Wait], failed: list[Failure]) -> list[str]:
    """What to do, each thing once, the most promising first."""
    sentences = [*_workers(waits)]
    for one in waits:
        sentences += _for(facts, one)
    if row is not None and row.state == "refused":
        sentences += _refused(facts, row)
    if row is not None and row.state == "failed":
        sentences.append(f"{row.name} does not come back: ask for it again, under another id, once the cause is mended")
    if any(one.type.startswith("a message that is no event") for one in failed):
        sentences.append("Somebody published what could not be read: `driftline quarantine` lists it")
    return list(dict.fromkeys(sentences))


def _workers(waits: Iterable[Wait]) -> Iterator[str]:
    for one in waits:
        if one.behind < 0:
            yield f"Start {one.who}: it has never run on this log (`driftline worker {one.who}`)"
        elif one.behind >= FAR_BEHIND:
            yield f"{one.who} is {one.behind} events behind the log: see whether it runs, and give it time"


def _for(facts: Facts, one: Wait) -> Iterator[str]:
    if facts.row("switches", one.where) is not None and one.who == "cnc":
        yield from _leaf(one)
    elif facts.row("hosts", one.where) is not None:
        yield from _host(facts, one)
    elif one.who == "cloud":
        yield "See what the cloud says: `driftline cloud` compares it with the log"
    elif one.who == "an operator" and "MAC" in one.what:
        yield "Find who else has the MAC, then `driftline clear-mac`"


def _leaf(one: Wait) -> Iterator[str]:
    if one.error:
        yield f"Mend {one.where} ({one.error}), then `driftline reconcile --leaf {one.where}`: what lacks is repaired"
    else:
        yield f"See whether {one.where} answers: it was asked and has not said anything yet"
        yield f"`driftline radius {one.where}` tells what else depends on it"


def _host(facts: Facts, one: Wait) -> Iterator[str]:
    state = facts.host_state(one.where)
    if state.state == "down" and state.held:
        yield f"Once {one.where} is well: `driftline host return {one.where}`"
    elif state.state in ("down", "suspect"):
        yield f"See whether {one.where} has power and is connected: it comes back by itself once its agent is heard"
    elif one.error:
        yield f"Mend {one.where} ({one.error}), then `driftline reconcile --host {one.where}`"
    elif one.who in ("compute", "ovs-agent", "policy"):
        yield f"See whether {one.who} of {one.where} runs, and the host answers"


def _refused(facts: Facts, row: InstanceRow) -> Iterator[str]:
    if "no address is left" in row.reason:
        names = [row.network] if row.network else [n.network for n in facts.rows("networks") if row.label in n.labels]
        for name in names:
            pools = facts.rows("pools", network=name)
            free, size = sum(pool.free for pool in pools), sum(pool.size for pool in pools)
            yield f"Network {name} has {free} of {size} addresses free: delete what is not needed, or add a subnet"
    elif row.reason == "the name is in use":
        holder = next((one for one in facts.rows("instances", name=row.name) if one.instance != row.instance), None)
        if holder is not None:
            yield f"{row.name} is the name of instance {holder.instance} ({holder.state}): delete it, or take another"
    else:
        yield "Mend what was refused and ask again; a request is answered once"

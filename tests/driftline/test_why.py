"""Why is held to be true by what happens next: over simulated runs, and in situations that are played."""



from driftline.book import Book
from driftline.why import Facts, Why, explain, find

#: Nobody waits for these: they keep books, or say what the clock has made true.
ASIDE = {"port.registered.v1", "instance.overdue.v1", "port.orphan_seen.v1", "port.claim_cleared.v1"}


def why(book: Book, name: str, position: int) -> Why:
    r = book.event(position)
    facts = Facts(book, position, r.time_us if r else 0)
    subject = find(facts, name)
    assert subject is not None, name
    return explain(facts, subject)

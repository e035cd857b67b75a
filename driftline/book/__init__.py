"""The book of a log: a local index that answers "what was, and when" in milliseconds.

``terms`` says what an event can be found by, ``shelf`` where books are kept, ``sheets`` is the SQLite file, ``events``
and ``versions`` are its two indexes, ``book`` puts them together and keeps them up with the log.
"""

from driftline.book.book import Book, Change, open_book

__all__ = ["Book", "Change", "open_book"]

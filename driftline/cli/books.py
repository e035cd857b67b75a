"""``driftline books``: the indexes of logs that the commands that ask questions keep on this machine."""

import click

from driftline.book.shelf import Kept, books_folder, kept, remove
from driftline.cli.common import print_json, print_table
from driftline.errors import UsageError
from driftline.questions import moment

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr.")


@click.group(invoke_without_command=True)
@_json_option
@click.pass_context
def books(context: click.Context, as_json: bool) -> None:
    """List the books: of which log each is, up to which position, how large, and when it was last used.

    A book is made of a log by the first question to it, and only a copy: whatever is removed is made anew. They are in
    $DRIFTLINE_CACHE/books, else in the user's cache folder.
    """
    if context.invoked_subcommand is None:
        _show("books in", kept(), as_json=as_json)


@books.command(name="remove")
@click.argument("names", metavar="BOOK...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of them.")
@_json_option
def remove_books(names: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Remove each BOOK, by the name that `driftline books` lists, with its files; not one that is open.

    `driftline audit` asks the book too how long the log once was: keep that of a log that may have lost its end.
    """
    if every == bool(names):
        raise UsageError("BOOK or --all: give one of them")
    wanted = [one.book for one in kept()] if every else [*dict.fromkeys(names)]
    _show("removed from", [remove(name) for name in wanted], as_json=as_json)


def _show(what: str, found: list[Kept], *, as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(books_folder()), "books": found})
        return
    rows = [
        (one.book, one.log or "(torn)", one.position, f"{one.bytes / 1e6:,.1f} MB", moment(one.used_us))
        for one in found
    ]
    print_table(f"{len(found)} {what} {books_folder()}", ("book", "log", "position", "size", "last used"), rows)

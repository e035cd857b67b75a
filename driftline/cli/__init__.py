"""The command line: one file per family of commands."""

from driftline.cli.main import main

__all__ = ["main"]

"""What a person at the command line may be told, in one line."""


class UsageError(Exception):
    """What was asked for cannot be done; the text names the field and the value. The person's to mend."""


class NotDone(Exception):
    """What was asked for was tried, and refused or not finished; the text says why."""

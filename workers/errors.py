"""What can go wrong for workers."""


class DevicesUnavailable(Exception):
    """No driver answers."""

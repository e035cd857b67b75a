"""Where the API is and how patiently it is called. Credentials come from the client's own chain (environment, …)."""

import msgspec


class AwsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``endpoint`` is a URL, empty for the region's own. Times in seconds.

    ``cluster`` is part of every tag, so that several control planes can share an account. ``attempts``: how often the
    client itself calls while it is throttled or refused for a moment, with its own backoff. ``settled_s``: how long an
    attachment or a detachment may take, asked after every ``poll_s``.
    """

    region: str
    endpoint: str = ""
    cluster: str = "driftline"
    attempts: int = 6
    timeout_s: float = 15.0
    settled_s: float = 30.0
    poll_s: float = 0.5
    #: API calls under way at once.
    calls: int = 8

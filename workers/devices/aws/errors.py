"""How a call of a cloud's API can fail."""


class ApiError(Exception):
    """A call failed; the text names the operation."""


class RefusedError(ApiError):
    """EC2 refused a call. ``code`` is its own, e.g. ``AttachmentLimitExceeded``."""

    def __init__(self, operation: str, code: str, text: str) -> None:
        super().__init__(f"{operation}: {code}: {text}")
        self.code = code


class UnknownOutcomeError(ApiError):
    """No answer came: the call may have been done."""


class UnreachableError(ApiError):
    """Nobody is there: the call was not done."""

"""Single calls of the EC2 API: off the event loop, with the client's own retries, and errors that say what they mean.

boto3 retries what EC2 throttles (``RequestLimitExceeded``) and what is wrong for a moment, with exponential backoff and
jitter (its "standard" retry mode). What is left is one of three: refused, unknown, or nobody there.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)

from workers.devices.aws.errors import RefusedError, UnknownOutcomeError, UnreachableError
from workers.devices.aws.settings import AwsSettings

#: EC2 answered, and cannot say whether it was done.
_UNKNOWN_CODES = frozenset({"InternalError", "ServiceUnavailable", "Unavailable", "RequestExpired"})


class Ec2:
    """The API. Safe to use from many tasks."""

    def __init__(self, settings: AwsSettings) -> None:
        self._pool = ThreadPoolExecutor(settings.calls, thread_name_prefix="ec2")
        self._client = boto3.Session().client(
            "ec2",
            region_name=settings.region,
            endpoint_url=settings.endpoint or None,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": settings.attempts},
                connect_timeout=settings.timeout_s,
                read_timeout=settings.timeout_s,
                max_pool_connections=settings.calls,
            ),
        )

    async def call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """One operation (``attach_network_interface``). Raises RefusedError, UnknownOutcomeError, UnreachableError."""
        method = getattr(self._client, operation)
        try:
            answer: Mapping[str, Any] = await self._in_thread(lambda: method(**arguments))
        except ClientError as error:
            code, text = error.response["Error"]["Code"], error.response["Error"]["Message"]
            if code in _UNKNOWN_CODES:
                raise UnknownOutcomeError(f"{operation}: {code}: {text}") from error
            raise RefusedError(operation, code, text) from error
        except (ReadTimeoutError, ConnectionClosedError) as error:
            raise UnknownOutcomeError(f"{operation}: {error}") from error
        except (EndpointConnectionError, HTTPClientError) as error:
            raise UnreachableError(f"{operation}: {error}") from error
        except BotoCoreError as error:  # no credentials, a parameter that cannot be: it never left this process
            raise RefusedError(operation, type(error).__name__, str(error)) from error
        return answer

    async def all(self, operation: str, key: str, **arguments: Any) -> list[Mapping[str, Any]]:
        """All pages of a ``describe_…``. Raises as ``call``."""
        found: list[Mapping[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            page = await self.call(operation, **arguments, **token)
            found += page[key]
            if not page.get("NextToken"):
                return found
            token = {"NextToken": page["NextToken"]}

    def close(self) -> None:
        """Calls under way end by themselves; no new ones."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def _in_thread(self, work: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def filters(wanted: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    """Filters of a ``describe_…``."""
    return [{"Name": name, "Values": [value]} for name, value in wanted.items()]


def tags(resource: str, values: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    """``TagSpecifications`` of a resource that is made."""
    return [{"ResourceType": resource, "Tags": tag_list(values)}]


def tag_list(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 wants them."""
    return [{"Key": key, "Value": value} for key, value in values.items()]


def tag_of(resource: Mapping[str, Any], key: str) -> str:
    """The value of a tag, empty if there is none."""
    both = [*resource.get("TagSet", ()), *resource.get("Tags", ())]
    return next((str(tag["Value"]) for tag in both if tag["Key"] == key), "")

"""Which cloud performs what is asked of one: Amazon's, or the modelled one of the fabric."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from workers.cloud_effects import CLOUD_EFFECTS
from workers.devices.aws.settings import AwsSettings
from workers.devices.protocol import Devices
from workers.devices.routed import Route, RoutedDevices


class _Cloud(Devices, Protocol):
    def close(self) -> None: ...


@contextmanager
def with_cloud(fabric: Devices, aws: AwsSettings | None) -> Iterator[Devices]:
    """``fabric``, or with ``aws`` a driver that has EC2 perform what is asked of the cloud, and ``fabric`` the rest."""
    if aws is None:
        yield fabric
        return
    # The client takes a second to import, and few commands need it.
    cloud = cast(_Cloud, importlib.import_module("workers.devices.aws.driver").AwsDevices(aws))
    try:
        yield RoutedDevices([Route(lambda effect: isinstance(effect, CLOUD_EFFECTS), cloud)], fabric)
    finally:
        cloud.close()

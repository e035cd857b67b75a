"""The fields by which a report says which claim of which port it speaks of."""

from typing import Protocol, TypedDict


class Claim(TypedDict):
    """(port, host, generation), and the zone that the subject needs."""

    port: str
    az: str
    host: str
    generation: int


class HasClaim(Protocol):
    """A port as a fold keeps it."""

    @property
    def port(self) -> str: ...
    @property
    def az(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def generation(self) -> int: ...


def claim(port: HasClaim) -> Claim:
    """The current claim of ``port``, to be spread into an event."""
    return {"port": port.port, "az": port.az, "host": port.host, "generation": port.generation}


def mac_of(ip: str) -> str:
    """The MAC that goes with an address: OpenStack's fa:16 and the four octets, so unique wherever the address is."""
    return "fa:16:" + ":".join([f"{int(octet):02x}" for octet in ip.split(".")])

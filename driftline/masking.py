"""Masking: what must not leave the house is replaced in a recording, the same by the same, so that all still fits.

The key is thrown away with the process. Addresses keep their structure: two that share a prefix share one afterwards
(as in Crypto-PAn: Xu et al., Prefix-Preserving IP Address Anonymization, 2002), so subnets still hold their addresses.
"""

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from bus.decoding import Raw
from bus.errors import MalformedEvent
from bus.envelope import decode
from bus.subjects import subject_of
from driftline.errors import NotDone, UsageError

#: What ``--mask`` takes, and the fields that it means.
FIELDS: dict[str, frozenset[str]] = {
    "names": frozenset({"name", "port_name", "instance", "labels", "label"}),
    "tenants": frozenset({"tenant", "vpc", "peer", "global_vpc", "vrf"}),
    "addresses": frozenset({"ip", "secondary_ips", "previous_ip", "gateway", "cidr", "cidrs", "mac", "vip", "address"}),
    "texts": frozenset({"reason", "error"}),
}
#: Runs of what names are made of; a name is also looked for at the start of such a run, up to a hyphen.
_TOKEN = re.compile(r"[A-Za-z0-9_.:/-]+")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_CIDR = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3})(/\d{1,2})?")
#: Shorter values are too like others to be looked for when all is done.
_TELLING = 4

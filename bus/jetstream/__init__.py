"""The log on NATS JetStream. The only package that imports ``nats``."""

from bus.jetstream.connection import Connection, connect
from bus.jetstream.log import JetStreamLog
from bus.jetstream.stores import JetStreamCheckpoints, JetStreamQuarantine

__all__ = ["Connection", "JetStreamCheckpoints", "JetStreamLog", "JetStreamQuarantine", "connect"]

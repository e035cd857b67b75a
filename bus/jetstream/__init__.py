"""The log on NATS JetStream. The only package that imports ``nats``."""

from bus.jetstream.connection import Connection, connect
from bus.jetstream.log import JetStreamLog
from bus.jetstream.stores import JetStreamBeats, JetStreamCheckpoints, JetStreamQuarantine

__all__ = ["Connection", "JetStreamBeats", "JetStreamCheckpoints", "JetStreamLog", "JetStreamQuarantine", "connect"]

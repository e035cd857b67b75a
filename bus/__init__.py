"""The language and the log: events, envelopes, subjects, and the two homes of the log (JetStream and memory)."""

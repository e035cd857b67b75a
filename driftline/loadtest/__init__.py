"""The load-test harness: profiles of load, latencies without coordinated omission, and runs compared."""

"""How a process is looked at while it runs: metrics, health, traces, and the live view of all of them."""

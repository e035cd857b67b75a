"""What the things driftline stands on can do on this machine: the limits that its own figures are shares of."""

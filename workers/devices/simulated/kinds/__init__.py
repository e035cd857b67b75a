"""The kinds of devices that are neither hosts nor leaves, one file each (``workers.devices.simulated.device``)."""

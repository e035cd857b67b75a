"""A model of the devices: what is configured on them and, from that alone, who reaches whom.

Read in this order: ``host`` and ``leaf`` (the devices), ``resync`` and ``audit`` (a device as a whole), ``tamper``
(what is done by hand), ``fabric`` (cabling, power, and all devices by name), ``reachability`` (the oracle, over
``attachment``), ``faults`` and ``driver`` (devices that are slow or fail), ``journal``, ``wire`` and ``remote``
(devices that outlive the workers). Nothing here knows an event or what the control plane believes.
"""

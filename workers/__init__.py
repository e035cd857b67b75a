"""Who decides and acts: nova, nova-compute, the OVS agent, CNC and IPAM, each a pure ``decide`` over pure folds."""

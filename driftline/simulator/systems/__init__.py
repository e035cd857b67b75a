"""What runs are about beyond the SDN fabric: each module here with ``THEMES`` adds its own, and their worlds.

A theme's ``world`` adds events, hosts and networks to the small world of the run (``Place``); its ``write`` asks for
things with ``draft.requests.ask`` and brings the faults. What must hold is the auditor's business, as for all others.
"""

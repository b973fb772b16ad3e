"""Events: what LG sends is taken, kept, named and delivered to the partner's own systems.

Owns: the reading of LG's messages, the spool on disk, the partner's Logic Table, the CloudEvent, and delivery to sinks.
Must not: hold a credential of LG, change a subscription, or know HTTP on the receiving side (``api``).

The rule above all: what is answered with 2xx is on disk, and is delivered at least once or shown as undelivered.

Inside: ``message`` reads LG's bytes, ``spool`` keeps them, ``config`` and ``logic`` read what the partner wrote,
``envelope`` makes the CloudEvent, ``delivery`` brings it to the ``sinks``. ``model`` holds the values, ``port`` what
these parts ask of each other.
"""

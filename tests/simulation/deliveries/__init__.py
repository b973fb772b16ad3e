"""Days of receiving and delivering, on simulated time, with everything that can go wrong between LG and a partner.

Everything of ours is the real thing: the reading of messages, the spool in its file, routing, envelopes and delivery.
Around it are a sender that repeats, delays and reorders, and sinks that fail, hang, refuse and answer oddly; the
process ends in the middle of anything, its clock is set, sinks come and go.

``partners`` are the sinks, ``day`` is one run, ``check`` says which promise was broken.
"""

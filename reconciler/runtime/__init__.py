"""The process: how everything is put together, started, and stopped in good order.

Owns: settings, wiring, the daemon, the one-shot commands, ``doctor``, ``demo``, signals, and the machine's clock.
Must not: hold a rule about devices, revisions or LG.
"""

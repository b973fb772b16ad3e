"""The process: how everything is put together, started, and stopped in good order.

Owns: ``settings`` and ``environment``, which everything is made from in ``wiring``; ``daemon``, whose ``services`` run
under the ``supervisor``; what HTTP asks of it (``queries``, ``operations``, ``health``, ``access``); and the commands
that end (``oneshot``, ``adoption``, ``doctor``, ``offline``, ``demo``).
Must not: hold a rule about devices, revisions or LG.
"""

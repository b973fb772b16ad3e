"""The HTTP surface of the daemon.

Owns: which requests are answered, to whom, and in which form: the page, metrics, health, JSON queries, the commands
that act, and the webhook. ``client`` is the other end, for commands that ask a running daemon.
Must not: know how an answer is found out; ``reporting`` and the daemon are asked.
"""

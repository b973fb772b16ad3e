"""The HTTP surface of the daemon.

Owns: which requests are answered, to whom, and in which form. ``app`` puts the routes together. ``page``, ``queries``,
``commands`` and ``webhook`` make the answers, and ``access`` decides who may call. ``port`` says what the daemon has to
offer. ``templates`` and ``static`` hold the page. ``client`` is the other end: commands that ask a daemon.
Must not: know how an answer is found; ``reporting`` and the daemon are asked.
"""

"""The usual world with three daemons that share the accounts, over one database in memory.

The modules, lowest first: ``leaps`` (time that leaps although replicas renew their lease every second), ``database``
(the database as each daemon reaches it, and who is heard of it), ``daemons`` (three daemons in place of one machine),
``checker`` (what must hold across them), ``life`` (what befalls them), ``run`` (how that is put together), and
``defects`` (what is taken away from the program, to see that it is missed).
"""

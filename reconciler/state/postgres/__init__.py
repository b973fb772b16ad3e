"""The state in PostgreSQL.

Owns: the words, tables, connections and faults of PostgreSQL. ``storage`` implements ``port.Storage``; ``database`` has
one connection that writes and a few that read; ``writes`` has the words of each statement; ``migrations`` has the
schema; ``connection`` is one connection that is never waited for without end; ``faults`` says in a sentence what went
wrong. The only package that knows PostgreSQL, and it is imported only where ``PCC_STATE_URL`` is set. Must not: know
what a row means for a pass.
"""

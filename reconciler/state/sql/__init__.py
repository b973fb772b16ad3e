"""What all SQL databases have in common when they keep the state.

Owns: the rows of values, the statements that each record becomes, and the reading half of a storage. Each database
adds its own words, its connection and its faults (``sqlite``, ``postgres``). Must not: know any database.
"""

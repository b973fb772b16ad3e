"""One of several replicas that share a state: what it owns, how it stays a member, and what it shares of the source.

Owns: this replica's view of the tables. Must not: decide who owns what (the tables do), or know SQL.
"""

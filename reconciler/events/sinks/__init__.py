"""The sinks: one module for each kind of place where events are delivered.

Owns: how one event is handed over, and what the answer means. Must not: decide when the next attempt is made.
"""

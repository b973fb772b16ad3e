"""What commands want of a running daemon, from another process.

``ask`` is how it is spoken to; ``consult`` asks it, or else files and state; ``planning`` lets it plan the files that
are here; ``waiting`` is what ``status --wait`` waits for. Must not: be used by the daemon itself.
"""

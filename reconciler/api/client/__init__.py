"""What commands ask of a running daemon, from another process.

Owns: how it is spoken to (``connection``), falling back to files and state (``consult``), planning proposed files
(``planning``), and ``status --wait`` (``waiting``).
Must not: be used by the daemon itself.
"""

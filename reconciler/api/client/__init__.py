"""What commands ask of a running daemon, and the daemon of its receivers: always from another process.

Owns: how it is spoken to (``connection``), falling back to files and state (``consult``), planning proposed files
(``planning``), and ``status --wait`` (``waiting``).
Must not: be used by a daemon to ask itself.
"""

"""The services of the daemon: each runs for as long as the process, and all have the shape of ``Service``.

Owns: one module for each: ticks, short jobs, passes, the source, the credentials, the state's file, and HTTP.
Must not: know the supervisor, or start one another.
"""

"""The state in one SQLite file.

Owns: every SQL statement, the file's lock, versions and faults. The only package that knows SQLite.
Must not: know what a row means for a pass.
"""

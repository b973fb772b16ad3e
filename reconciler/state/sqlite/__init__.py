"""The state in one SQLite file.

Owns: every SQL statement, the file's lock, versions and faults. ``storage`` implements ``port.Storage`` and reads;
``writes`` turns records into statements; ``tables`` has the schema; ``database`` is the open file; ``watch`` and
``folder`` look at its path. The only package that knows SQLite. Must not: know what a row means for a pass.
"""

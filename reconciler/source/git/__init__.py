"""The ``git`` program: how it is run, and what is read from repositories with it.

Owns: every call of the program (``process``); commits, trees and blobs as values (``commits``); whether a signature is
good (``signatures``); the clone of the repository that is followed (``clone``).
Must not: know accounts or revisions in force, decide what is accepted, or read from a working tree.
"""

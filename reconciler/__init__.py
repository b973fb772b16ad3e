"""Keeps the list of devices subscribed to LG's PCC equal to a file tracked in Git."""

__version__ = "0.2.0"

"""The receiving process: what it is made of, and its life.

Owns: what ``receive`` runs. Must not: hold a credential of LG's, or know how an event is read, kept or delivered.
"""

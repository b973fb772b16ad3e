"""How things look: as text, JSON, Markdown and workflow commands.

Owns: one module a subject: ``plans``, ``validations``, ``explanations``, ``diagnoses``; ``styles`` and ``encoding`` are
shared. Must not: know where the values come from, or decide anything.
"""

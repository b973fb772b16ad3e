"""How things look: as text, JSON, Markdown and workflow commands.

Must not: know where they come from, or decide anything. ``plans``, ``findings`` (of files, and what a change adds and
removes), ``stories`` (statuses, explanations, history) and ``examinations`` (what ``doctor`` found).
"""

"""The rules, as values and functions without side effects: the product itself.

Owns: the nouns (``model``), the diff (``planner``), what holds a change (``guards``), how both are asked together
(``evaluate``), one pass as a value (``run``), its report (``summary``, ``status``), when the next pass is due
(``schedule``), what needs a person most (``urgency``), what an account carries (``account``) and remembers
(``memory``), which revision is in force (``acceptance``, ``unsettled``), and how waits, durations, errors and words are
made.
Must not: import anything but the standard library, read a clock, do I/O, or log. Time and randomness are arguments.
"""

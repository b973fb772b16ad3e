"""The rules of one account, and whether its lock fits them.

Owns: the faults of rules and of their lock. Must not: ask what LG has, or change a lock; ``resolve`` does.
"""

from __future__ import annotations

import posixpath

from reconciler.core.model import AccountName
from reconciler.core.rules import Rule, Ruled
from reconciler.desired import locks
from reconciler.desired.collected import RUN_RESOLVE, Collected
from reconciler.desired.diagnostics import Notes, Where
from reconciler.desired.schema import AccountTable, RuleTable

MOST_RULES = 100
"""Rules of one account."""


def read_rules(
    account: AccountName, table: AccountTable, collected: Collected, notes: Notes
) -> Ruled | None:
    """Return the rules of an account with its lock, or None where it has none. Notes what is wrong with either."""
    reading, loc = collected.reading, collected.loc
    if (*loc, "rules") in {broken[: len(loc) + 1] for broken in reading.broken}:
        return None
    if not table.rules:
        if table.locked is not None:
            message = "a lock is what rules resolve to, and there are none: add one, or name the file in device_files"
            notes.fault(reading.at(*loc, "locked", key=True), message)
        return None
    if table.locked is None:
        if (*loc, "locked") not in reading.broken:
            message = (
                f'rules need a file to resolve to: write locked = "locks/{account}.txt" before them'
            )
            notes.fault(reading.at(*loc, "rules", 0, "name"), message)
        return None
    rules = _rules(table.rules, collected, notes)
    folder = posixpath.dirname(reading.path)
    path = posixpath.join(folder, posixpath.normpath(table.locked))
    if collected.lock is None:
        return Ruled(rules, path, None, frozenset(), collected.listed)
    ruled = Ruled(
        rules, path, locks.head(collected.lock.content), collected.lock.ids, collected.listed
    )
    _check_lock(account, ruled, collected, notes)
    return ruled


def _rules(tables: list[RuleTable], collected: Collected, notes: Notes) -> tuple[Rule, ...]:
    reading, loc = collected.reading, (*collected.loc, "rules")
    if len(tables) > MOST_RULES:
        notes.fault(
            reading.at(*loc, MOST_RULES, "name"), f"an account has at most {MOST_RULES} rules"
        )
    rules = []
    first: dict[str, Where] = {}
    for index, table in enumerate(tables[:MOST_RULES]):
        where = reading.at(*loc, index, "name")
        if table.name in first:
            notes.fault(
                where, "two rules of an account have this name; the other is at", first[table.name]
            )
        first.setdefault(table.name, where)
        _check_conditions(table, where, notes)
        rules.append(
            Rule(
                table.name,
                frozenset(table.type or ()),
                table.alias,
                table.model,
                table.except_.ids,
            )
        )
    return tuple(rules)


def _check_conditions(table: RuleTable, where: Where, notes: Notes) -> None:
    given = any(one is not None for one in (table.type, table.alias, table.model))
    if table.every and given:
        message = "every = true takes every device: leave out type, alias and model, or every"
        notes.fault(where, message)
    elif not table.every and not given:
        message = (
            "a rule needs type, alias or model; for all devices of the account, write every = true"
        )
        notes.fault(where, message)


def _check_lock(account: AccountName, ruled: Ruled, collected: Collected, notes: Notes) -> None:
    """Note why a lock is stale."""
    lock, head = collected.lock, ruled.head
    if lock is None or lock.faults:
        return
    top = Where(lock.path, line=1, column=1)
    if head is None:
        notes.unresolve(top, f"this lock does not begin with the line of resolve: {RUN_RESOLVE}")
    elif head.account != account:
        notes.unresolve(top, f"this lock was written for another account: {RUN_RESOLVE}")
    elif not ruled.fits(account):
        message = f"the rules of account {account} are others than when this lock was written: {RUN_RESOLVE}"
        notes.unresolve(top, message, quotes=collected.reading.path)
    both = lock.ids & collected.listed
    if both:
        spots = collected.first(both)
        for device, where in lock.where(both):
            message = f"this device is listed beside the rules, too: {RUN_RESOLVE}; it is listed at"
            notes.unresolve(where, message, spots[device])

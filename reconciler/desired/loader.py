"""Loads all documents: every fault in them, and their accounts.

Owns: the steps of a load, and what happens to the good parts when others are faulty.
Must not: touch a disk (a ``Tree`` does), read a clock, or let an exception escape for any bytes.

A document without a fault takes the short way: the TOML reader, one check of all ids together, no loop over devices.
Only a document with a fault is checked device by device, and walked for lines and columns.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from reconciler.core.acceptance import Loaded
from reconciler.core.errors import Fault, quoted
from reconciler.core.model import AccountName, Approval, Desired
from reconciler.desired import accounts, conflicts, windows
from reconciler.desired.accounts import (
    AccountPart,
    ApprovalPart,
    Contents,
    KnownAccounts,
    merged_policy,
)
from reconciler.desired.cache import LoadCache
from reconciler.desired.device_files import DeviceFiles
from reconciler.desired.diagnostics import Finding, Notes
from reconciler.desired.documents import Document, Tree, digest
from reconciler.desired.faults import located, shown
from reconciler.desired.parser import Reading, read, stated
from reconciler.desired.windows import WindowsByAccount
from reconciler.desired.writer import toml_string

_NO_DOCUMENT = Fault("", 0, 0, "there is no file to read")


def load(
    documents: Sequence[Document],
    tree: Tree,
    *,
    environment: str | None = None,
    cache: LoadCache | None = None,
    kept: bool = False,
    resolving: bool = False,
    now: datetime | None = None,
) -> Loaded:
    """Return what the documents state and every fault in them; nothing is raised, whatever the bytes.

    ``environment`` is the one that the documents must be for, if any. ``cache`` saves work that two loads have in
    common; the result is the same without it. ``kept``: the documents were accepted before, maybe by a version with
    fewer rules. Then newer rules do not refuse them, and the cache is not used. ``resolving``: a lock that is missing
    or stale is no fault, because it is about to be written. With ``now`` there are also warnings of change windows that
    hold everything for long.
    """
    if kept or cache is None:
        cache = LoadCache()
    hidden = frozenset(document.path for document in documents if not document.ours)
    readings = [read(one, kept=True) if kept else cache.reading(one) for one in documents]
    files = DeviceFiles(tree, kept=kept)
    contents, notes = gather(readings, files, cache, hidden)
    for noted in notes.values() if not (kept or resolving) else ():
        noted.faults += noted.unresolved
    in_two = _compare(contents, notes, cache)
    shared_fault = any(one.has_shared_fault(notes[one.path].faults) for one in readings)
    wrong = _wrong_environment(environment, readings, hidden, shared_fault=shared_fault)
    shared_fault = shared_fault or not _has_accounts(contents, notes)
    made = {} if shared_fault or wrong else _desired(contents, notes, cache)
    if now is not None and contents.windows:
        windows.warn_of_times(
            contents.windows, made.values(), now, notes[contents.windows[0].where.path]
        )
    cache.keep(contents, notes, made, apart=not in_two)
    named = {one.path: one.content for one in readings}
    named.update(files.contents)
    retired, own_environment = stated(readings, "retired_accounts"), stated(readings, "environment")
    timezone = stated(readings, "timezone")
    return Loaded(
        accounts=MappingProxyType(made),
        retired=frozenset(map(AccountName, retired[1])) if retired else frozenset(),
        environment=own_environment[1] if own_environment else None,
        faults=_faults(readings, notes, hidden),
        warnings=_warnings(readings, notes, in_two, hidden),
        faulty=MappingProxyType(_faulty(readings, notes)),
        shared=frozenset(one.path for one in readings if one.shared),
        shared_fault=shared_fault,
        wrong_environment=wrong,
        files=MappingProxyType(named),
        sha256=digest(named, posixpath.dirname(documents[0].path) if documents else ""),
        named=MappingProxyType(
            {path: frozenset(noted.device_files) for path, noted in notes.items()}
        ),
        timezone=timezone[1] if timezone else None,
        windows=tuple(one.window for one in contents.windows),
    )


def gather(
    readings: Sequence[Reading], files: DeviceFiles, cache: LoadCache, hidden: frozenset[str]
) -> tuple[Contents, dict[str, Notes]]:
    """Return what the documents state, and the findings of each, by its path."""
    notes = {reading.path: reading.notes.copy() for reading in readings}
    for reading, finding in conflicts.shared_twice(readings):
        notes[reading.path].faults.append(finding)
    zone, fault = accounts.read_zone(readings)
    if fault is not None:
        notes[fault.where.path].faults.append(fault)
    parts: list[AccountPart] = []
    for reading in readings:
        known = cache.parts(reading, zone)
        if known is None:
            known, noted = accounts.read_accounts(reading, files, zone)
            notes[reading.path].add(noted)
        parts += known
    approvals: list[ApprovalPart] = []
    names = KnownAccounts(readings, hidden)
    for reading in readings:
        approved, noted = accounts.read_approvals(reading, files, zone, names)
        notes[reading.path].add(noted)
        approvals += approved
    found = windows.read_windows(readings, zone, parts, notes, hidden)
    return Contents(readings, zone, parts, approvals, found), notes


def _compare(contents: Contents, notes: Mapping[str, Notes], cache: LoadCache) -> Sequence[Finding]:
    """Note contradictions between two places; return the warnings that belong to no single document."""
    for reading, finding in conflicts.faults(contents):
        notes[reading.path].faults.append(finding)
    return conflicts.in_two_accounts(contents.accounts, cache)


def _has_accounts(contents: Contents, notes: Mapping[str, Notes]) -> bool:
    """Return whether there is an account, or a fault that may hide one; note it if there is neither."""
    if contents.accounts or any(noted.faults for noted in notes.values()):
        return True
    for first in contents.readings[:1]:
        message = "no account: give devices or device_files; for an empty account, devices = []"
        notes[first.path].fault(first.at(), message)
    return False


def _desired(
    contents: Contents, notes: Mapping[str, Notes], cache: LoadCache
) -> dict[AccountName, Desired]:
    """Return what the accounts of documents without a fault want."""
    general = contents.general_policy()
    policy = merged_policy(general)
    approvals: dict[AccountName, list[Approval]] = {}
    for one in contents.approvals:
        if not notes[one.collected.reading.path].faults:
            approval = Approval(one.collected.ids, one.expires, one.reason)
            approvals.setdefault(one.account, []).append(approval)
    by_account = WindowsByAccount(one.window for one in contents.windows)
    made: dict[AccountName, Desired] = {}
    for part in contents.accounts:
        if notes[part.reading.path].faults:
            continue
        mine = by_account.of(part.name)
        known = None if part.name in approvals else cache.desired(part, general)
        if known is not None and known.windows != mine:
            known = None
        made[part.name] = known or Desired(
            account=part.name,
            devices=part.collected.ids,
            described=MappingProxyType(part.described),
            policy=policy if part.policy is None else merged_policy(general, part.policy),
            approvals=tuple(approvals.get(part.name, ())),
            country=part.country,
            path=part.reading.path,
            ruled=part.ruled,
            windows=mine,
        )
    return made


def _wrong_environment(
    wanted: str | None, readings: Sequence[Reading], hidden: frozenset[str], *, shared_fault: bool
) -> Fault | None:
    """Return the faults of documents for another environment, as from a wrong branch.

    A document whose environment cannot be read has another fault instead.
    """
    found = stated(readings, "environment")
    if wanted is None or not readings or (found is not None and found[1] == wanted):
        return None
    if found is not None:
        message = f"this file is for another environment than {quoted(wanted)!r}"
        return located([Finding(found[0].at("environment"), message)], readings, hidden)[0]
    if shared_fault:
        return None
    wanted = toml_string(quoted(wanted))
    return Fault(
        readings[0].path,
        1,
        1,
        f"environment is missing: only files with environment = {wanted} are accepted",
    )


def _faults(
    readings: Sequence[Reading], notes: Mapping[str, Notes], hidden: frozenset[str]
) -> tuple[Fault, ...]:
    if not readings:
        return (_NO_DOCUMENT,)
    return shown([(path, noted.faults) for path, noted in notes.items()], readings, hidden)


def _warnings(
    readings: Sequence[Reading],
    notes: Mapping[str, Notes],
    in_two: Sequence[Finding],
    hidden: frozenset[str],
) -> tuple[Fault, ...]:
    found = [(path, noted.warnings) for path, noted in notes.items()]
    return shown([*found, ("", in_two)], readings, hidden)


def _faulty(
    readings: Sequence[Reading], notes: Mapping[str, Notes]
) -> dict[str, frozenset[AccountName] | None]:
    """Return the accounts of each faulty document; ``None`` for one that could not be parsed."""
    found: dict[str, frozenset[AccountName] | None] = {}
    for reading in readings:
        if notes[reading.path].faults:
            found[reading.path] = None if reading.keys is None else reading.names
    return found

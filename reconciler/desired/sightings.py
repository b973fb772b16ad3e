"""Where accepted documents name one device.

Owns: every place of a device: as an entry, in approvals, and under ``ignore``. Must not: judge a document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from reconciler.core.model import AccountName, DeviceId
from reconciler.desired.accounts import Contents
from reconciler.desired.cache import LoadCache
from reconciler.desired.device_files import DeviceFiles, OnlyOne
from reconciler.desired.diagnostics import Finding, Where
from reconciler.desired.documents import Document, Role, Sighting, Tree
from reconciler.desired.faults import located
from reconciler.desired.loader import gather
from reconciler.desired.parser import Reading, read, stated
from reconciler.desired.positions import Loc
from reconciler.desired.schema import PolicyTable, id_of
from reconciler.desired.thinned import thinned

_Place = tuple[Role, AccountName | None, int, Where]


def sightings(documents: Sequence[Document], tree: Tree, device: DeviceId) -> tuple[Sighting, ...]:
    """Return every place at which accepted documents name a device, in their order.

    This takes the entries of other devices out, loads the rest, and walks it once.
    """
    readings = [
        read(Document(one.path, thinned(one.content, device)), kept=True) for one in documents
    ]
    contents, _notes = gather(
        readings, DeviceFiles(OnlyOne(tree, device), kept=True), LoadCache(), frozenset()
    )
    places = list(_places(contents, device))
    faults = located(
        [Finding(where, "") for _role, _account, _number, where in places], readings, frozenset()
    )
    return tuple(
        Sighting(role, account, fault.path, fault.line, fault.column, number)
        for (role, account, number, _where), fault in zip(places, faults, strict=True)
    )


def _places(contents: Contents, device: DeviceId) -> Iterator[_Place]:
    wanted = frozenset({device})
    for part in contents.accounts:
        for _id, where in part.collected.where(wanted):
            yield Role.DEVICE, part.name, 0, where
        if part.policy is not None:
            for where in _ignored(
                part.reading, part.policy, (*part.collected.loc, "policy"), device
            ):
                yield Role.IGNORE, part.name, 0, where
    general = stated(contents.readings, "policy")
    if general is not None:
        for where in _ignored(*general, ("policy",), device):
            yield Role.IGNORE, None, 0, where
    number = Counter[AccountName]()
    for approval in contents.approvals:
        for _id, where in approval.collected.where(wanted):
            yield Role.APPROVAL, approval.account, number[approval.account], where
        number[approval.account] += 1


def _ignored(reading: Reading, policy: PolicyTable, loc: Loc, device: DeviceId) -> Iterator[Where]:
    """Find a device among those that a policy ignores."""
    if device not in policy.ignore.ids:
        return
    for index, entry in enumerate(policy.ignore.entries):
        if entry is not None and id_of(entry) == device:
            yield reading.at(*loc, "ignore", index)

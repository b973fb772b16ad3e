"""Where the settings say that the desired state comes from.

Owns: the choice between files of this machine and a repository that is followed, and where a clone of it is kept.
Must not: read or judge a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from reconciler.runtime.common_settings import CommonSettings
from reconciler.runtime.setting_values import GitVerify
from reconciler.source.files import FileSource
from reconciler.source.git.clone import Clone
from reconciler.source.port import Source
from reconciler.source.repository import GitSource

SETTING = "PCC_DESIRED_STATE"
CLONES = "git"
"""Where the clone is, below the folder of the process."""


def local(path: Path) -> FileSource:
    """Return the source of the local files that the setting names."""
    return FileSource(path, named_by=SETTING)


@contextmanager
def opened(
    settings: CommonSettings,
    *,
    lasting: bool = False,
    files: Callable[[Path], FileSource] = local,
) -> Iterator[Source]:
    """Give the source that the settings name, and end what it does at the end.

    ``lasting``: keep the clone in the folder of the process. Only for the holder of its lock. Others get a
    temporary clone. ``files`` makes the source of local files.
    """
    if settings.git_url is None:
        found = files(settings.desired_state)
        if found.unrest is not None:
            found.unrest.leave_out(settings.work_dir)
        yield found
        return
    with ExitStack() as stack:
        home = (
            settings.work_dir
            if lasting
            else Path(stack.enter_context(TemporaryDirectory(prefix="pcc-git-")))
        )
        source = GitSource(
            Clone(home / CLONES, settings.git_url),
            settings.git_ref,
            settings.desired_state,
            interval=settings.git_interval.total_seconds(),
            verify=settings.git_verify is GitVerify.COMMIT,
            allowed_signers=settings.git_allowed_signers,
        )
        stack.callback(source.close)
        yield source

"""The pages over HTTP in situations that the pictures do not show."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios import fleet, owned, site, text, write

pytestmark = pytest.mark.system


async def test_a_device_of_a_file_outside_git_has_a_page(tmp_path: Path) -> None:
    """Where the revision that named a device is no commit, its page names the revision without a link."""
    platform = fleet(2)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    async with site(tmp_path, platform) as one:
        await one.has(devices)
        answer = await one.get(f"/accounts/default/devices/{devices[0]}")
        assert answer.status_code == 200
        assert "<code>sha256:" in answer.text

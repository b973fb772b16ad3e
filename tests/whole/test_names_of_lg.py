"""A device without a name in the desired state is shown by LG's, once the daemon has LG's list of all devices."""

from __future__ import annotations

from pathlib import Path

import msgspec

from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Error
from scenarios import eventually_true, fleet, owned, site, text, write

HOSTILE = 'fridge"\n]\ndevices = [ \x1b[2J'
SHOWN = 'fridge" ] devices = [ [2J'


async def test_lgs_name_stands_in_where_the_file_has_none(tmp_path: Path) -> None:
    """A refusal makes the daemon ask for all devices; from then on page and explain know their names."""
    platform = fleet(3)
    one, two, three = owned(platform)
    devices = platform.world.user("default").devices
    devices[one] = msgspec.structs.replace(devices[one], alias=HOSTILE)
    alias, theirs = devices[two].alias, devices[three].alias
    named = f'  {{ id = "{three}", name = "Ours" }},\n'
    file = tmp_path / "desired-state.toml"
    write(file, text([one, two]).replace("devices = [\n", f"devices = [\n{named}"))
    refusal = Match(route=Route.SUBSCRIBE, devices=(two,))
    platform.set_faults(Rule(Error(code="1210"), match=refusal))
    async with site(tmp_path, platform, PCC_DESIRED_STATE=str(file)) as there:

        async def is_refused() -> bool:
            answer = await there.http.get("/api/v1/device-states?state=refused")
            return [row["device"] for row in answer.json()["devices"]] == [two]

        await eventually_true(is_refused)
        rows = (await there.http.get("/api/v1/device-states")).json()["devices"]
        assert {row["device"]: row["name"] for row in rows} == {
            one: SHOWN,
            two: alias,
            three: "Ours",
        }
        found = (await there.http.get("/api/v1/devices", params={"device": alias})).json()
        assert (found["device"], found["taken_by"]) == (two, "name at LG")
        answer = await there.http.get("/api/v1/devices", params={"device": theirs})
        assert answer.status_code == 404
        page = await there.http.get("/accounts/default")
        assert alias in page.text

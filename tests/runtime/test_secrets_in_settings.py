"""Every setting that holds a secret: it is masked in each form in which it is given, and a file of it is read anew."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from disks import StandingClock
from reconciler.core.errors import ReconcilerError
from reconciler.runtime import settings
from reconciler.runtime.access import SettingsPolicy
from reconciler.runtime.common_settings import CommonSettings
from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.receiving.policy import ReceiverSettingsPolicy
from reconciler.runtime.settings import Settings, load, load_receiver
from reconciler.runtime.settings_reading import variable
from reconciler.telemetry.masking import Masking

HOME = {"HOME": "/home/someone"}
OPEN = {"client_id"}
"""What is kept like a secret and is none: it is in the addresses of LG's pages."""
VALUES = {
    "receive_basic": "lg:sesame-open-9000",
    "receive_secret": "aVeryLongPathSegment-2026",
    "state_url": "postgresql://daemon:sesame-open-7000@db/pcc",
    "heartbeat_url": "https://hc.example/sesame-open-6000",
}
PARTS = {
    "receive_basic": ("sesame-open-9000", b64encode(b"lg:sesame-open-9000").decode().rstrip("=")),
    "state_url": ("sesame-open-7000",),
    "heartbeat_url": ("sesame-open-6000",),
}
USUAL = "sesame-open-8000"


def holds_a_secret(field: FieldInfo) -> bool:
    """Say whether the value of a setting is one that is not shown."""
    return SecretStr.__name__ in str(field.annotation)


def secret_fields(kind: type[CommonSettings]) -> list[str]:
    """Return the settings of a process whose values must not be shown."""
    return sorted(
        name
        for name, field in kind.model_fields.items()
        if holds_a_secret(field) and name not in OPEN
    )


DAEMONS, RECEIVERS = secret_fields(Settings), secret_fields(ReceiverSettings)


@pytest.mark.parametrize(
    ("load_it", "name"),
    [*((load, name) for name in DAEMONS), *((load_receiver, name) for name in RECEIVERS)],
)
def test_a_secret_in_the_environment_is_masked(
    load_it: Callable[..., CommonSettings], name: str
) -> None:
    """It is known before anything is checked and afterwards, whole and in every part that opens something."""
    value = VALUES.get(name, USUAL)
    given = HOME | {variable(name): value}
    checked = Masking()
    checked.know(load_it(given).secrets())
    for part in (value, *PARTS.get(name, ())):
        assert part not in checked.text(f"see {part}"), part
    written = Masking()
    written.know(settings.suspects(given))
    assert value not in written.text(f"see {value}")


def test_every_setting_with_a_secret_is_in_the_table_of_secrets() -> None:
    """The documents say of each that it is one."""
    assert {variable(one) for one in (*DAEMONS, *RECEIVERS)} == {*settings.MASKED}


POLICY = {
    "listen_token": SettingsPolicy.listen_token,
    "read_token": SettingsPolicy.read_token,
    "events_token": SettingsPolicy.events_token,
    "webhook_secret": SettingsPolicy.webhook_secret,
}


@pytest.mark.parametrize("name", POLICY)
def test_a_token_of_the_daemon_is_read_anew_and_masked(tmp_path: Path, name: str) -> None:
    """Each is the one of its own setting; what was replaced stays masked, and a missing file lets nobody in."""
    files = {one: tmp_path / one for one in POLICY}
    for one, file in files.items():
        file.write_text(f"sesame-of-{one}-1")
    given = {f"{variable(one)}_FILE": str(file) for one, file in files.items()}
    masking = Masking()
    policy = SettingsPolicy(load(HOME | given), masking, StandingClock())
    for number in (1, 2):
        value = f"sesame-of-{name}-{number}"
        files[name].write_text(value)
        assert POLICY[name](policy) == value
        assert value not in masking.text(f"see {value}")
    assert f"sesame-of-{name}-1" not in masking.text(f"see sesame-of-{name}-1")
    files[name].unlink()
    with pytest.raises(ReconcilerError, match=f"{variable(name)}_FILE"):
        POLICY[name](policy)


@pytest.mark.parametrize(
    ("name", "lines", "hidden"),
    [
        (
            "receive_basic",
            ["lg:sesame-open-9000", "lg:sesame-open-8000"],
            [
                "sesame-open-9000",
                "sesame-open-8000",
                b64encode(b"lg:sesame-open-8000").decode().rstrip("="),
            ],
        ),
        (
            "receive_secret",
            ["aVeryLongPathSegment-2026", "aVeryLongPathSegment-2025"],
            ["aVeryLongPathSegment-2026", "aVeryLongPathSegment-2025"],
        ),
        ("events_token", ["sesame-open-5000"], ["sesame-open-5000"]),
    ],
)
def test_a_credential_of_callers_in_a_file_is_masked(
    tmp_path: Path, name: str, lines: list[str], hidden: list[str]
) -> None:
    """Each line of it, and of a pair the password and the header that carries it."""
    file = tmp_path / name
    file.write_text("\n".join(lines))
    masking = Masking()
    chosen = load_receiver(HOME | {f"{variable(name)}_FILE": str(file)})
    policy = ReceiverSettingsPolicy(chosen, masking, StandingClock())
    found = [*policy.basic(), *policy.path_secrets(), policy.events_token()]
    assert [one for one in found if one is not None] == lines
    for one in hidden:
        assert one not in masking.text(f"see {one}")


@pytest.mark.parametrize("name", ["listen_token", "read_token", "webhook_secret"])
def test_a_file_that_lets_nobody_in_is_reported_at_the_start(tmp_path: Path, name: str) -> None:
    """Whoever starts the daemon hears which setting it is."""
    (found,) = load(HOME | {f"{variable(name)}_FILE": str(tmp_path / "none")}).unreadable_secrets()
    assert f"{variable(name)}_FILE" in found
    assert load(HOME | {variable(name): USUAL}).unreadable_secrets() == ()


@pytest.mark.parametrize(
    ("given", "acts", "is_mentioned"),
    [
        ({}, False, True),
        ({"PCC_READ_TOKEN": USUAL}, False, False),
        ({"PCC_LISTEN_TOKEN": USUAL}, True, True),
        ({"PCC_WEBHOOK_SECRET": USUAL}, False, True),
        ({"PCC_READ_TOKEN_FILE": "/run/a", "PCC_LISTEN_TOKEN_FILE": "/run/b"}, True, False),
    ],
)
def test_each_token_opens_and_closes_its_own_calls(
    given: dict[str, str], *, acts: bool, is_mentioned: bool
) -> None:
    """On a port that others reach, acting takes the one for acting, and reading is open without the one for reading."""
    chosen = load(HOME | {"PCC_LISTEN": "0.0.0.0:8080", **given})
    assert chosen.acting_allowed is acts
    assert any("PCC_READ_TOKEN" in one for one in chosen.warnings) is is_mentioned


@pytest.mark.parametrize("load_it", [load, load_receiver])
def test_each_process_goes_through_the_proxies_of_its_environment(
    load_it: Callable[..., CommonSettings],
) -> None:
    """And their passwords are masked."""
    chosen = load_it(HOME | {"https_proxy": f"http://someone:{USUAL}@proxy.test:3128"})
    found = chosen.proxies.of("https://crm.example/")
    assert getattr(found, "full_address", "").endswith("@proxy.test:3128")
    assert USUAL in chosen.secrets()


@pytest.mark.parametrize("name", ["PCC_STATE_URL", "PCC_STATE_URL_FILE"])
def test_a_shared_state_needs_a_lease_that_outlasts_a_call(name: str) -> None:
    """Wherever its address is; alone there is no lease to be too short."""
    value = VALUES["state_url"] if name == "PCC_STATE_URL" else "/run/state-url"
    short = HOME | {"PCC_LEASE": "34s"}
    assert load(short).lease.total_seconds() == 34
    with pytest.raises(ReconcilerError) as caught:
        load(short | {name: value})
    assert "PCC_LEASE: has to be at least 35s" in str(caught.value)
    assert load(HOME | {"PCC_LEASE": "35s", name: value}).lease.total_seconds() == 35


def test_an_address_of_heartbeats_in_a_file_is_held_to_the_same_rule(tmp_path: Path) -> None:
    """Plain http to another host takes the word that allows it, wherever the address is."""
    file = tmp_path / "url"
    file.write_text("http://hc.example/sesame-open-6000")
    given = HOME | {"PCC_HEARTBEAT_URL_FILE": str(file)}
    for allowed in (False, True):
        reader = load(
            given | ({"PCC_ALLOW_HTTP": "true"} if allowed else {})
        ).heartbeat_url_reader()
        assert reader is not None
        assert isinstance(reader.read(), SecretStr) is allowed

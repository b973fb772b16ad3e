"""What the environment of the receiving process may say, and what it must not hold."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from reconciler.core.errors import Invalid
from reconciler.runtime import settings
from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.setting_values import Listen
from reconciler.runtime.settings import LG_CREDENTIALS, load, load_receiver
from reconciler.runtime.settings_reading import variable

HOME = {"HOME": "/home/someone"}
PAIR = "lg:sesame-open-9000"
OTHER = "lg:sesame-open-8000"
PATH_SECRET = "aVeryLongPathSegment-2026"


def faults(environ: dict[str, str]) -> list[str]:
    """Return the sentences about an environment of the receiving process."""
    with pytest.raises(Invalid) as caught:
        load_receiver(HOME | environ)
    return [str(fault) for fault in caught.value.faults]


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    """The process starts without any setting, and then takes calls of this machine only."""
    plain = load_receiver(HOME)
    assert plain.receive_listen == Listen("127.0.0.1", 8081)
    assert plain.events_dir == Path("/home/someone/.local/state/pcc-reconciler/events")
    assert plain.events_config == Path("events.toml")
    assert plain.source == "urn:pcc:default"
    assert plain.spool_limit == 1024**3
    assert plain.basic_reader() is None
    assert plain.path_secret_reader() is None


def test_every_setting_can_be_set() -> None:
    """Each setting of this process has a value that is taken as it is meant, and none is forgotten here."""
    given = {
        "PCC_DESIRED_STATE": "fleet",
        "PCC_GIT_URL": "ssh://git@host/fleet.git",
        "PCC_GIT_REF": "release/2026",
        "PCC_GIT_INTERVAL": "1m",
        "PCC_GIT_VERIFY": "commit",
        "PCC_GIT_ALLOWED_SIGNERS": "/etc/signers",
        "PCC_ENVIRONMENT": "production",
        "PCC_LOG_LEVEL": "debug",
        "PCC_LOG_FORMAT": "json",
        "PCC_SHUTDOWN_GRACE": "0s",
        "PCC_RECEIVE_LISTEN": "192.0.2.1:8081",
        "PCC_RECEIVE_METRICS_LISTEN": "192.0.2.1:9081",
        "PCC_RECEIVE_BASIC": PAIR,
        "PCC_RECEIVE_SECRET": PATH_SECRET,
        "PCC_EVENTS_CONFIG": "/etc/pcc/events.toml",
        "PCC_EVENTS_DIR": "/var/lib/events",
        "PCC_EVENTS_TOKEN": "a-token-for-reading",
        "PCC_EVENT_SOURCE": "https://example.com/pcc",
        "PCC_SPOOL_LIMIT": "500MiB",
    }
    full = load_receiver(given)
    names = {variable(name) for name in ReceiverSettings.model_fields}
    assert {name for name in names if not name.endswith("_FILE")} == given.keys()
    assert full.receive_listen == Listen("192.0.2.1", 8081)
    assert full.spool_limit == 500 * 1024**2
    assert full.source == "https://example.com/pcc"
    assert full.work_dir == Path("/var/lib/events")


def test_the_port_of_the_metrics_is_another_one() -> None:
    """Naming the same port twice is a fault; a free one is never the same."""
    same = "127.0.0.1:8081"
    assert faults({"PCC_RECEIVE_METRICS_LISTEN": same}) == [
        "PCC_RECEIVE_METRICS_LISTEN: is the same as PCC_RECEIVE_LISTEN; leave it out, or name another port"
    ]
    free = load_receiver(HOME | {"PCC_RECEIVE_METRICS_LISTEN": "127.0.0.1:0"})
    assert free.receive_metrics_listen == Listen("127.0.0.1", 0)


def test_the_source_of_events_follows_from_the_environment() -> None:
    """Two environments do not send events under one name."""
    assert load_receiver(HOME | {"PCC_ENVIRONMENT": "qa"}).source == "urn:pcc:qa"


@pytest.mark.parametrize("name", LG_CREDENTIALS)
def test_a_credential_of_lg_ends_the_start(name: str) -> None:
    """A process that faces the internet must not hold one; the fault names the setting, and shows no value."""
    (only,) = faults({name: "sesame-open-9000"})
    assert only.startswith(f"{name}: the receiving process faces the internet")
    assert "sesame" not in only


def test_credentials_of_lg_are_named_completely() -> None:
    """Every form of each of LG's credentials is refused; names of settings that the daemon has are not missed."""
    assert {
        "PCC_SERVICE_KEY",
        "PCC_SERVICE_KEY_FILE",
        "PCC_ACCESS_TOKEN",
        "PCC_ACCESS_TOKEN_FILE",
        "PCC_REFRESH_TOKEN",
        "PCC_REFRESH_TOKEN_FILE",
        "PCC_CREDENTIALS_DIR",
        "PCC_CLIENT_ID",
        "PCC_CLIENT_ID_FILE",
        "PCC_SERVICE_ID",
        "PCC_SERVICE_ID_FILE",
    } == set(LG_CREDENTIALS)
    assert set(LG_CREDENTIALS) <= set(settings.NAMES)


def test_an_empty_credential_of_lg_is_none() -> None:
    """A variable that a template left empty does not keep the process from starting."""
    assert load_receiver(HOME | {"PCC_SERVICE_KEY": " "}) == load_receiver(HOME)


def test_commands_that_look_at_the_spool_run_beside_the_daemons_settings() -> None:
    """They face nobody, so neither LG's credentials nor a missing credential of the callers is their concern."""
    chosen = load_receiver(
        HOME | {"PCC_SERVICE_KEY": "sesame-open-9000", "PCC_RECEIVE_LISTEN": "0.0.0.0:1"},
        serving=False,
    )
    assert chosen.receive_listen.port == 1


def test_each_process_knows_the_settings_of_the_other() -> None:
    """A file of settings that both share is no fault, and a misspelt name still is one."""
    assert load(HOME | {"PCC_RECEIVE_LISTEN": "not judged here"}) == load(HOME)
    assert load_receiver(HOME | {"PCC_INTERVAL": "not judged here"}) == load_receiver(HOME)
    assert faults({"PCC_RECEIVE_LISTN": "x"}) == [
        "PCC_RECEIVE_LISTN: no such setting; did you mean 'PCC_RECEIVE_LISTEN'?"
    ]


def test_callers_have_to_show_something_unless_the_port_is_on_loopback() -> None:
    """An open port without a credential ends the start; either credential will do."""
    (only,) = faults({"PCC_RECEIVE_LISTEN": "0.0.0.0:8081"})
    assert only.startswith("PCC_RECEIVE_BASIC: set this or PCC_RECEIVE_SECRET")
    for name, value in {"BASIC": PAIR, "SECRET": PATH_SECRET, "BASIC_FILE": "/run/b"}.items():
        load_receiver(HOME | {"PCC_RECEIVE_LISTEN": "0.0.0.0:8081", f"PCC_RECEIVE_{name}": value})
    for host in ("127.0.0.1", "[::1]", "localhost"):
        load_receiver(HOME | {"PCC_RECEIVE_LISTEN": f"{host}:8081"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PCC_RECEIVE_BASIC", "sesame-open-9000"),
        ("PCC_RECEIVE_BASIC", ":sesame-open-9000"),
        ("PCC_RECEIVE_BASIC", "lg:sesame"),
        ("PCC_RECEIVE_BASIC", f"{PAIR}\n{OTHER}\nlg:sesame-open-7000"),
        ("PCC_RECEIVE_BASIC", f"{PAIR}\nsesame-open-9000"),
        ("PCC_RECEIVE_BASIC", "lg:sesäme-open-9000"),
        ("PCC_RECEIVE_SECRET", "only-twenty-one-sesam"),
        ("PCC_RECEIVE_SECRET", "sesame/that/has/segments/of/its/own"),
        ("PCC_RECEIVE_SECRET", "sesame%2Fthat-is-escaped-2026"),
        ("PCC_SPOOL_LIMIT", "1GB"),
        ("PCC_SPOOL_LIMIT", "0MiB"),
        ("PCC_EVENT_SOURCE", "sesame street"),
    ],
)
def test_what_cannot_be_used_is_named_without_its_value(name: str, value: str) -> None:
    """A value that would let nobody in, or everybody, is refused at the start."""
    (only,) = faults({name: value})
    assert only.startswith(f"{name}: ")
    assert "sesam" not in only


def test_two_lines_are_the_new_and_the_old_credential(tmp_path: Path) -> None:
    """While a credential is replaced both hold, from the variable as from the file."""
    file = tmp_path / "basic"
    file.write_text(f"{PAIR}\n{OTHER}\n", encoding="utf-8")
    for given in ({"PCC_RECEIVE_BASIC": f"{PAIR}\n{OTHER}"}, {"PCC_RECEIVE_BASIC_FILE": str(file)}):
        reader = load_receiver(HOME | given).basic_reader()
        assert reader is not None
        secret = reader.read()
        assert not isinstance(secret, str)
        assert secret.get_secret_value().splitlines() == [PAIR, OTHER]


def test_a_file_with_something_else_lets_nobody_in(tmp_path: Path) -> None:
    """What is in the file is checked as what is in the variable, and not shown."""
    file = tmp_path / "secret"
    file.write_text("sesame", encoding="utf-8")
    reader = load_receiver(HOME | {"PCC_RECEIVE_SECRET_FILE": str(file)}).path_secret_reader()
    assert reader is not None
    told = reader.read()
    assert isinstance(told, str)
    assert "at least 22" in told
    assert "sesame" not in told


def test_every_form_of_a_credential_is_masked() -> None:
    """The pair, its password alone, and the pair as a header carries it, of each line."""
    known = load_receiver(
        HOME | {"PCC_RECEIVE_BASIC": f"{PAIR}\n{OTHER}", "PCC_RECEIVE_SECRET": PATH_SECRET}
    ).secrets()
    encoded = b64encode(PAIR.encode()).decode().rstrip("=")
    assert {PAIR, OTHER, "sesame-open-9000", "sesame-open-8000", encoded, PATH_SECRET} <= known


def test_what_may_be_secret_is_known_before_anything_is_checked() -> None:
    """Each line of a value that is not valid is masked, also alone."""
    found = settings.suspects(HOME | {"PCC_RECEIVE_BASIC": "sesame-one\nsesame-two"})
    assert {"sesame-one", "sesame-two"} <= found

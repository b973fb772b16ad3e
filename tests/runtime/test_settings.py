"""What the environment may say, what is told when it says something else, and that the documentation keeps up."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reconciler.api.links import Links
from reconciler.core.errors import Invalid
from reconciler.pcc.regions import Phase, Region
from reconciler.runtime import settings, settings_reading, settings_table
from reconciler.runtime.setting_values import Listen, LogFormat, LogLevel, Mode
from reconciler.runtime.settings import Settings, load

HOME = {"HOME": "/home/someone"}
SECRET = "sesame-open-9000"
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "settings.md"


def faults(environ: dict[str, str], env_file: Path | None = None) -> list[str]:
    """Return the sentences told about an environment."""
    with pytest.raises(Invalid) as caught:
        load(HOME | environ, env_file)
    return [str(fault) for fault in caught.value.faults]


def fault(name: str, value: str) -> str:
    """Return the one sentence told about one variable, without its name."""
    (only,) = faults({name: value})
    assert only.startswith(f"{name}: ")
    return only.removeprefix(f"{name}: ")


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    """Nothing has to be set to get the defaults that the documentation shows."""
    plain = load(HOME)
    assert plain.desired_state == Path("desired-state.toml")
    assert (plain.git_url, plain.git_ref, plain.git_interval) == (
        None,
        "main",
        timedelta(seconds=30),
    )
    assert (plain.mode, plain.phase, plain.region) == (Mode.ENFORCE, Phase.OP, None)
    assert plain.interval == timedelta(minutes=10)
    assert (plain.workers, plain.concurrency) == (8, 8)
    assert plain.request_timeout == timedelta(seconds=15)
    assert plain.confirm_delay == timedelta(seconds=30)
    assert plain.shutdown_grace == timedelta(seconds=25)
    assert plain.listen == Listen("127.0.0.1", 8080)
    assert (plain.log_level, plain.log_format) == (LogLevel.INFO, LogFormat.AUTO)
    assert plain.metrics_per_account
    assert not plain.allow_http


def test_every_setting_can_be_set() -> None:
    """Each setting has a value that is taken as it is meant, and none is forgotten here."""
    given = {
        "PCC_DESIRED_STATE": "fleet",
        "PCC_GIT_URL": "ssh://git@host/fleet.git",
        "PCC_GIT_REF": "release/2026",
        "PCC_GIT_INTERVAL": "1m",
        "PCC_GIT_VERIFY": "commit",
        "PCC_GIT_ALLOWED_SIGNERS": "/etc/signers",
        "PCC_WEBHOOK_SECRET": SECRET,
        "PCC_ENVIRONMENT": "production",
        "PCC_ALLOW_HTTP": "true",
        "PCC_BASE_URL": "http://lg.test/api/",
        "PCC_REGION": "eic",
        "PCC_PHASE": "qa",
        "PCC_SERVICE_ID": "id",
        "PCC_SERVICE_KEY": SECRET,
        "PCC_CLIENT_ID": "app",
        "PCC_TOKEN_URL": "http://token.test/",
        "PCC_BACKEND_URL": "https://backend.test",
        "PCC_COUNTRY": "DE",
        "PCC_ACCESS_TOKEN": SECRET,
        "PCC_REFRESH_TOKEN": SECRET,
        "PCC_CREDENTIALS_DIR": "/etc/credentials",
        "PCC_MODE": "observe",
        "PCC_INTERVAL": "1h30m",
        "PCC_WORKERS": "3",
        "PCC_CONCURRENCY": "4",
        "PCC_REQUEST_TIMEOUT": "5s",
        "PCC_CONFIRM_DELAY": "1m",
        "PCC_STATE_DIR": "/var/lib/pcc",
        "PCC_STATE_URL": "postgresql://pcc@db/pcc",
        "PCC_HEARTBEAT_URL": "https://hc.test/0f1e2d3c?rid=1",
        "PCC_LEASE": "1m",
        "PCC_LISTEN": "[::]:0",
        "PCC_LISTEN_TOKEN": SECRET,
        "PCC_READ_TOKEN": SECRET,
        "PCC_BASE_PATH": "/pcc/",
        "PCC_METRICS_LISTEN": "10.0.0.5:9090",
        "PCC_DOCS_URL": "https://docs.test/pcc/",
        "PCC_COMMIT_URL": "https://git.test/fleet/commit/{commit}",
        "PCC_GRAFANA_URL": "http://localhost:3000",
        "PCC_LOG_LEVEL": "debug",
        "PCC_LOG_FORMAT": "json",
        "PCC_METRICS_PER_ACCOUNT": "false",
        "PCC_SHUTDOWN_GRACE": "0s",
        "PCC_EVENTS_FROM": "http://127.0.0.1:8081",
        "PCC_EVENTS_TOKEN": SECRET,
    }
    names = {name for name in settings.NAMES if not name.endswith("_FILE")}
    assert names == given.keys()
    full = load(given)
    assert full.base_url == "http://lg.test/api"
    assert full.token_url == "http://token.test"
    assert full.region is Region.EIC
    assert full.interval == timedelta(minutes=90)
    assert full.listen == Listen("::", 0)
    assert full.metrics_listen == Listen("10.0.0.5", 9090)
    assert full.links == Links(
        base="/pcc",
        docs="https://docs.test/pcc",
        commit="https://git.test/fleet/commit/{commit}",
        grafana="http://localhost:3000",
        metrics=False,
    )
    assert full.shutdown_grace == timedelta(0)
    assert not full.metrics_per_account
    for field in ("service_key", "access_token", "refresh_token", "webhook_secret", "listen_token"):
        assert getattr(full, field).get_secret_value() == SECRET


def test_all_faults_are_told_at_once_and_sorted() -> None:
    """Somebody with five mistakes reads five sentences, not the first."""
    told = faults(
        {
            "PCC_WORKERS": "0",
            "PCC_INTERVAL": "soon",
            "PCC_LISTEN": "8080",
            "PCC_MODE": "Observe",
            "PCC_INTREVAL": "1m",
        }
    )
    assert told == [
        "PCC_INTERVAL: a duration is written like 90s, 10m, 1h30m or 7d",
        "PCC_INTREVAL: no such setting; did you mean 'PCC_INTERVAL'?",
        "PCC_LISTEN: has to be an address and a port, like 127.0.0.1:8080, [::1]:8080, or :8080 for every address",
        "PCC_MODE: has to be one of enforce, observe; did you mean 'observe'?",
        "PCC_WORKERS: has to be a whole number from 1 to 999999",
    ]


@given(
    value=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    name=st.sampled_from(settings.NAMES),
)
def test_a_fault_never_shows_a_value(name: str, value: str) -> None:
    """Whatever stands in a variable, it is taken, or refused without being repeated."""
    marked = f"{value}~Xyzzy~{value}"
    told = ""
    try:
        load(HOME | {name: marked})
    except Invalid as invalid:
        told = f"{invalid}{invalid.faults!r}"
    assert "Xyzzy" not in told


def test_settings_built_in_code_hide_what_was_wrong_too() -> None:
    """A fault raised by pydantic itself does not show the value either."""
    with pytest.raises(ValidationError) as caught:
        Settings(state_dir=Path("state"), interval="Xyzzy")
    assert "Xyzzy" not in str(caught.value)


def test_secrets_are_not_in_the_repr() -> None:
    """Settings that end up in a traceback show no secret, also not one inside a Git address."""
    shown = repr(
        load(
            HOME
            | {"PCC_SERVICE_KEY": SECRET, "PCC_GIT_URL": f"https://bot:{SECRET}@host/fleet.git"}
        )
    )
    assert SECRET not in shown


def test_secrets_for_masking_include_the_password_of_the_git_address() -> None:
    """What the log has to mask is known, in the address as it is written and as it is meant."""
    known = load(
        HOME | {"PCC_LISTEN_TOKEN": SECRET, "PCC_GIT_URL": "https://bot:p%40ssword@host/fleet.git"}
    ).secrets()
    assert known == {SECRET, "p%40ssword", "p@ssword", "bot:p%40ssword", "bot:p@ssword"}
    assert load(HOME | {"PCC_GIT_URL": "https://[broken"}).secrets() == frozenset()


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("name", [name for name in settings.NAMES if not name.endswith("_FILE")])
def test_a_value_in_quotes_is_named(name: str, quote: str) -> None:
    """Quotes that ``docker --env-file`` leaves around a value are told at the start, whatever the setting."""
    told = faults({name: f"{quote}{SECRET}{quote}"})
    assert any(one.startswith(f"{name}: the value is in quotes") for one in told)
    assert SECRET not in str(told)


def test_quotes_inside_a_value_and_in_an_env_file_are_as_before(tmp_path: Path) -> None:
    """One quote is a character like any other, and those of an env file are its grammar."""
    (tmp_path / "env").write_text('PCC_ENVIRONMENT="prod"\n')
    assert load(HOME, tmp_path / "env").environment == "prod"
    assert load(HOME | {"PCC_ENVIRONMENT": 'pr"od'}).environment == 'pr"od'


@pytest.mark.parametrize(
    "name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"]
)
@pytest.mark.parametrize(
    "value",
    [f"socks5://me:{SECRET}@proxy:1080", f"https://me:{SECRET}@proxy", f"http://{SECRET}:8a"],
)
def test_a_proxy_that_cannot_be_used_is_a_fault_of_the_start(name: str, value: str) -> None:
    """It is not passed by, and told beside all other faults, without its value."""
    told = faults({name: value, "PCC_MODE": "enforc"})
    assert any(one.startswith(f"{name}: ") for one in told)
    assert any(one.startswith("PCC_MODE: ") for one in told)
    assert SECRET not in str(told)


def test_secrets_of_proxies_are_masked_and_quotes_around_one_are_mentioned() -> None:
    """A proxy's password is known to the masking, in every form; quotes come off, and that is said."""
    chosen = load(HOME | {"HTTPS_PROXY": f"'http://me:{SECRET}#1@proxy:3128'"})
    assert {SECRET, f"{SECRET}#1"} <= chosen.secrets()
    assert [one.partition(":")[0] for one in chosen.warnings] == ["HTTPS_PROXY"]
    assert load(HOME | {"HTTPS_PROXY": "http://proxy:3128"}).warnings == ()


@pytest.mark.parametrize(
    "environ",
    [
        {"PCC_GIT_URL": f"https://{SECRET}@host/r.git"},
        {"PCC_GIT_URL": f"https://me:{SECRET}@host/r.git x"},
        {"PCC_GIT_URL": f"https://me:{SECRET}/y@[broken"},
        {"PCC_BASE_URL": f"https://me:{SECRET}@host"},
        {"PCC_SERVICE_KEY": f" '{SECRET}' "},
        {"PCC_SERVICE_KEYS": SECRET},
        {"pcc_refresh_token": SECRET},
        {"all_proxy": f"socks5://me:{SECRET}@host"},
    ],
)
def test_what_may_be_secret_is_known_before_anything_is_checked(environ: dict[str, str]) -> None:
    """Also a value that is not valid, or belongs to a mistyped name, is masked whole and in parts."""
    assert SECRET in settings.suspects(HOME | environ)


def test_values_that_are_no_secrets_are_not_masked() -> None:
    """Paths, hosts and the like stay readable, and so does what Kubernetes injects."""
    harmless = {
        "PCC_DESIRED_STATE": "/srv/fleet/desired-state.toml",
        "PCC_BASE_URL": "https://kic-ext.lgthinq.com",
    }
    harmless |= {"PCC_SERVICE_HOST": "10.20.30.40", "HTTPS_PROXY": "http://proxy.example.com:3128"}
    assert settings.suspects(HOME | harmless) == frozenset()


def test_ssh_takes_no_password_in_an_address() -> None:
    """It never worked: ssh took the password for a part of the user's name, and showed it to all of the machine."""
    assert "ssh takes no password" in fault("PCC_GIT_URL", f"ssh://git:{SECRET}@host/fleet.git")


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_an_empty_variable_counts_as_not_set(value: str) -> None:
    """A variable that a template left empty is no fault and no value."""
    assert load(HOME | {"PCC_ENVIRONMENT": value, "PCC_INTERVAL": value}) == load(HOME)


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    """A key that was piped through echo into a Secret works."""
    key = load(HOME | {"PCC_SERVICE_KEY": f"{SECRET}\n"}).service_key
    assert key is not None
    assert key.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/xdg", "HOME": "/home/a"}, Path("/xdg/pcc-reconciler")),
        (
            {"XDG_STATE_HOME": "relative", "HOME": "/home/a"},
            Path("/home/a/.local/state/pcc-reconciler"),
        ),
        ({"HOME": "/home/a"}, Path("/home/a/.local/state/pcc-reconciler")),
        ({"HOME": "/home/a", "PCC_STATE_DIR": "/srv"}, Path("/srv")),
    ],
)
def test_state_goes_to_the_users_state_folder(environ: dict[str, str], expected: Path) -> None:
    """Without a setting, the XDG rules say where state is kept."""
    assert load(environ).state_dir == expected


def test_without_a_home_variable_the_user_database_is_asked() -> None:
    """An empty environment is enough for a user who exists, and one who does not is told what to set."""
    assert load({}).state_dir.parts[-3:] == (".local", "state", "pcc-reconciler")
    with pytest.raises(Invalid, match="PCC_STATE_DIR: has to be set: this user has no home folder"):
        load({}, user=lambda: 2**31 - 7)
    assert load({"PCC_STATE_DIR": "/srv"}, user=lambda: 2**31 - 7).state_dir == Path("/srv")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("127.0.0.1:8080", Listen("127.0.0.1", 8080)),
        ("[::1]:0", Listen("::1", 0)),
        (":8080", Listen("", 8080)),
        ("localhost:65535", Listen("localhost", 65535)),
        ("my-host.example:80", Listen("my-host.example", 80)),
    ],
)
def test_listen_is_an_address_and_a_port(value: str, expected: Listen) -> None:
    """An address is read, and shows itself as it was written."""
    listen = load(HOME | {"PCC_LISTEN": value}).listen
    assert listen == expected
    assert str(listen) == value


@pytest.mark.parametrize(
    "value", ["8080", "::1:8080", "host:", "host:65536", "host:-1", "[host]:1", "a b:1"]
)
def test_half_an_address_is_refused(value: str) -> None:
    """What another tool might guess at is told instead."""
    assert fault("PCC_LISTEN", value).startswith("has to be an address and a port")


@pytest.mark.parametrize("name", ["PCC_DOCS_URL", "PCC_GRAFANA_URL", "PCC_COMMIT_URL"])
@pytest.mark.parametrize(
    "value",
    [
        "javascript:alert(1)//",
        "data:text/html,x/",
        "http://git.test/",
        "//git.test/",
        "git.test/",
        "https://user:password@git.test/",
        "https://git.test/a b/",
        'https://git.test/"onclick=/',
        "https://[broken/",
        "ftp://git.test/",
        "https://",
    ],
)
def test_a_link_that_could_harm_a_reader_is_refused(name: str, value: str) -> None:
    """A page links only to https, or to http on loopback, whatever the setting says."""
    told = fault(name, f"{value}{{commit}}" if name == "PCC_COMMIT_URL" else value)
    assert told.startswith(("has ", "can ", "cannot ", "is not "))
    assert "git.test" not in told


@pytest.mark.parametrize(
    "value",
    [
        "https://git.test/commit/",
        "https://git.test/{commit}/{commit}",
        "https://{commit}.test/x",
        "https://git.test{commit}/",
        "https://git.test/{sha}/{commit}",
    ],
)
def test_a_template_without_one_place_for_the_commit_is_refused(value: str) -> None:
    """The id of a commit goes behind the host, once."""
    assert fault("PCC_COMMIT_URL", value)


@pytest.mark.parametrize(
    "value",
    [
        "https://git.test/fleet/-/commit/{commit}",
        "https://git.test/?p=fleet.git;a=commit;h={commit}",
        "http://127.0.0.1:3000/fleet/commit/{commit}#diff",
    ],
)
def test_a_template_of_a_forge_is_taken_as_it_is(value: str) -> None:
    """Path, query and fragment can hold the id."""
    assert load(HOME | {"PCC_COMMIT_URL": value}).links.commit == value


@pytest.mark.parametrize(
    ("value", "expected"), [("/pcc", "/pcc"), ("/a/b-c_1.2~/", "/a/b-c_1.2~"), ("/", "")]
)
def test_a_base_path_has_no_slash_at_its_end(value: str, expected: str) -> None:
    """The root is no base path at all."""
    assert load(HOME | {"PCC_BASE_PATH": value}).base_path == expected


@pytest.mark.parametrize(
    "value",
    ["pcc", "//host", "/a//b", "/../x", "/a/.", "/a b", "/a?b", "/a%20b", "/metrics", "/hooks/x"],
)
def test_a_base_path_that_leads_elsewhere_is_refused(value: str) -> None:
    """It neither names a host nor hides what is at the root in any case."""
    assert fault("PCC_BASE_PATH", value).startswith(("has to be a path", "cannot begin with"))


def test_metrics_need_a_port_that_is_free() -> None:
    """The same address as that of the pages is refused at once."""
    assert fault("PCC_METRICS_LISTEN", "127.0.0.1:8080").startswith("is the same as PCC_LISTEN")
    assert load(HOME | {"PCC_METRICS_LISTEN": "127.0.0.1:0"}).metrics_listen is not None


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"PCC_LISTEN": "0.0.0.0:8080"}, True),
        ({"PCC_LISTEN": "0.0.0.0:8080", "PCC_READ_TOKEN": SECRET}, False),
        ({"PCC_LISTEN": "0.0.0.0:8080", "PCC_READ_TOKEN_FILE": "/run/token"}, False),
        ({"PCC_LISTEN": "[::1]:8080"}, False),
    ],
)
def test_a_port_that_everybody_can_read_is_mentioned(
    given: dict[str, str], *, warned: bool
) -> None:
    """Beyond loopback and without a token for reading there is a warning."""
    warnings = load(HOME | given).warnings
    assert any("PCC_READ_TOKEN" in one for one in warnings) is warned


@pytest.mark.parametrize(
    ("listen", "allowed"),
    [
        ("127.0.0.1:1", "yes"),
        ("[::1]:1", "yes"),
        ("localhost:1", "yes"),
        ("0.0.0.0:1", "with a token"),
        ("[::]:1", "with a token"),
        ("127.0.0.2:1", "with a token"),
    ],
)
def test_acting_needs_a_token_or_a_bind_address_out_of_reach(listen: str, allowed: str) -> None:
    """The calls that act are never open to the network without a token."""
    assert load(HOME | {"PCC_LISTEN": listen}).acting_allowed is (allowed == "yes")
    assert load(HOME | {"PCC_LISTEN": listen, "PCC_LISTEN_TOKEN": SECRET}).acting_allowed
    assert load(HOME | {"PCC_LISTEN": listen, "PCC_LISTEN_TOKEN_FILE": "/run/token"}).acting_allowed


@pytest.mark.parametrize(
    "value",
    [
        "http://lg.example",
        "ftp://lg.example",
        "lg.example",
        "https://",
        "https://user:word@lg.example",
        "https://lg.example?x=1",
        "https://lg.example/#x",
        "https://lg.example:port",
        "https://[::1",
        "https://lg.exa\tmple",
        "https://lg\\example",
        "https://지.example",
    ],
)
@pytest.mark.parametrize("name", ["PCC_BASE_URL", "PCC_TOKEN_URL"])
def test_a_key_is_not_sent_to_a_doubtful_address(name: str, value: str) -> None:
    """LG's addresses are plain https ones; anything else is told and not shown."""
    assert "example" not in fault(name, value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_http_is_for_loopback(host: str) -> None:
    """The simulator on the same machine needs no certificate."""
    assert load(HOME | {"PCC_BASE_URL": f"http://{host}:9/"}).base_url == f"http://{host}:9"


def test_http_elsewhere_takes_a_word() -> None:
    """With PCC_ALLOW_HTTP=true, and only with exactly that, http goes anywhere."""
    assert (
        load(HOME | {"PCC_BASE_URL": "http://lg.test", "PCC_ALLOW_HTTP": "true"}).base_url
        == "http://lg.test"
    )
    assert faults({"PCC_BASE_URL": "http://lg.test", "PCC_ALLOW_HTTP": "True"}) == [
        "PCC_ALLOW_HTTP: has to be true or false; did you mean 'true'?",
        "PCC_BASE_URL: has to be https: http is for loopback only, unless PCC_ALLOW_HTTP=true",
    ]


@pytest.mark.parametrize(
    "name", ["PCC_INTERVAL", "PCC_GIT_INTERVAL", "PCC_REQUEST_TIMEOUT", "PCC_CONFIRM_DELAY"]
)
def test_a_time_to_wait_is_at_least_a_second(name: str) -> None:
    """A wait of nothing would be a busy loop."""
    assert fault(name, "0s") == "has to be at least 1s"


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "1_0", "1000000", "²"])
def test_a_count_is_a_whole_positive_number(value: str) -> None:
    """Numbers in other notations are told, not guessed."""
    assert fault("PCC_CONCURRENCY", value) == "has to be a whole number from 1 to 999999"


@pytest.mark.parametrize("name", ["PCC_GIT_URL", "PCC_GIT_REF"])
@pytest.mark.parametrize("value", ["--upload-pack=touch /tmp/x", "-x", "a b"])
def test_nothing_git_could_read_as_an_option_is_taken(name: str, value: str) -> None:
    """A value that begins with a hyphen never reaches git."""
    assert "begin with '-'" in fault(name, value)


@pytest.mark.parametrize("value", ["ext::sh", "fd::17", "transport::https://host/fleet.git"])
def test_an_address_stands_for_no_command(value: str) -> None:
    """Addresses by which git would run a helper of that name are refused; those of hosts with colons are not."""
    assert fault("PCC_GIT_URL", value).startswith(
        "has to be a repository's address, https, ssh or a path"
    )
    assert (
        load(HOME | {"PCC_GIT_URL": "ssh://git@[::1]:22/fleet.git"}).git_url
        == "ssh://git@[::1]:22/fleet.git"
    )


@pytest.mark.parametrize("value", ["a..b", "a@{1}", "a~1", "a^", "a:b", "a*", "a\\b"])
def test_a_ref_is_a_name_and_no_expression(value: str) -> None:
    """Git's revision language is not part of the setting."""
    assert "name of a branch" in fault("PCC_GIT_REF", value)


@pytest.mark.parametrize("path", ["/etc/fleet.toml", "../fleet.toml", "a/../../b"])
def test_with_git_the_text_lies_inside_the_repository(path: str) -> None:
    """A path that leaves the repository is told before anything is fetched."""
    (only,) = faults({"PCC_GIT_URL": "https://host/fleet.git", "PCC_DESIRED_STATE": path})
    assert only.startswith("PCC_GIT_URL: PCC_DESIRED_STATE has then to be a relative path")


def test_signatures_without_git_are_a_mistake() -> None:
    """Whoever asks for signed commits must not silently get unsigned files."""
    assert (
        fault("PCC_GIT_VERIFY", "commit")
        == "commit needs PCC_GIT_URL: local files carry no signature"
    )


def test_a_country_is_two_upper_case_letters() -> None:
    """LG's header is upper case, and so is the setting."""
    assert fault("PCC_COUNTRY", "kr") == "has to be two upper-case letters, like KR"


@pytest.mark.parametrize(
    "name", ["SERVICE_KEY", "ACCESS_TOKEN", "REFRESH_TOKEN", "WEBHOOK_SECRET", "LISTEN_TOKEN"]
)
class TestSecrets:
    """What holds for every secret."""

    def test_a_short_secret_is_refused(self, name: str) -> None:
        """A secret under eight characters is a slip."""
        assert fault(f"PCC_{name}", "1234567") == "has fewer than 8 characters"

    @pytest.mark.parametrize(
        "value", ["secret\r\nx-header: 1", "secret-비밀-secret", "secret\x00secret"]
    )
    def test_a_secret_fits_into_a_header(self, name: str, value: str) -> None:
        """What a header cannot carry is told at start, not at the first call."""
        assert fault(f"PCC_{name}", value).startswith("has characters that a header cannot carry")

    def test_a_file_is_the_other_form(self, name: str) -> None:
        """Each secret may be given as the path of a file."""
        assert getattr(load(HOME | {f"PCC_{name}_FILE": "/run/x"}), f"{name.lower()}_file") == Path(
            "/run/x"
        )

    def test_both_forms_are_one_too_many(self, name: str) -> None:
        """Which of the two would count cannot be guessed."""
        told = faults({f"PCC_{name}": SECRET, f"PCC_{name}_FILE": "/run/x"})
        assert told == [f"PCC_{name}_FILE: set this or PCC_{name}, not both"]


def test_ids_may_be_short() -> None:
    """A service id or a client id is no secret, so its length is LG's matter."""
    plain = load(HOME | {"PCC_SERVICE_ID": "x", "PCC_CLIENT_ID": "y"}).shared_credentials()
    assert plain.service_id.value is not None
    assert plain.service_id.value.get_secret_value() == "x"
    assert plain.client_id.is_set


def test_shared_credentials_carry_everything_that_concerns_them() -> None:
    """What the credential store is handed is what was set."""
    shared = load(
        HOME
        | {
            "PCC_SERVICE_KEY_FILE": "/run/key",
            "PCC_COUNTRY": "KR",
            "PCC_PHASE": "qa",
            "PCC_REGION": "kic",
            "PCC_ALLOW_HTTP": "true",
            "PCC_BASE_URL": "http://lg.test",
        }
    ).shared_credentials()
    assert shared.service_key.path == Path("/run/key")
    assert shared.service_key.name == "PCC_SERVICE_KEY"
    assert (shared.country, shared.phase, shared.region, shared.allow_http) == (
        "KR",
        Phase.QA,
        Region.KIC,
        True,
    )
    assert shared.base_url == "http://lg.test"


def test_readers_exist_only_for_what_is_set(tmp_path: Path) -> None:
    """A webhook secret or a listen token in a file is read anew; without one there is nothing to read."""
    plain = load(HOME)
    assert plain.webhook_secret_reader() is None
    assert plain.listen_token_reader() is None
    (tmp_path / "token").write_text(f"{SECRET}\n")
    reader = load(HOME | {"PCC_LISTEN_TOKEN_FILE": str(tmp_path / "token")}).listen_token_reader()
    assert reader is not None
    token = reader.read()
    assert not isinstance(token, str)
    assert token.get_secret_value() == SECRET
    assert load(HOME | {"PCC_WEBHOOK_SECRET": SECRET}).webhook_secret_reader() is not None


# --- Names -----------------------------------------------------------------------------------------------------------


def test_a_name_in_lower_case_is_told() -> None:
    """A setting that would silently not count is told, whatever the case."""
    assert faults({"pcc_mode": "observe"}) == [
        "pcc_mode: no such setting; did you mean 'PCC_MODE'?"
    ]


def test_other_programs_variables_are_none_of_ours() -> None:
    """Only names with our prefix are judged."""
    assert load(HOME | {"PCCARD": "x", "XPCC_MODE": "x", "pcc_flags": "x"}) == load(HOME)


_label = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_tail = st.one_of(
    st.just(""),
    _label.map(lambda tail: f"-{tail}"),
    st.sampled_from(settings.NAMES).map(lambda name: name[3:].lower().replace("_", "-")),
)


@st.composite
def injected(draw: st.DrawFn) -> set[str]:
    """Return the names of what Kubernetes injects for a Service whose name begins with ``pcc``."""
    service = f"PCC{draw(_tail)}".upper().replace("-", "_")
    port, name, protocol = (
        draw(st.integers(1, 65535)),
        draw(_label).upper().replace("-", "_"),
        draw(st.sampled_from(["TCP", "UDP", "SCTP"])),
    )
    whole = f"{service}_PORT_{port}_{protocol}"
    return {
        f"{service}_SERVICE_HOST",
        f"{service}_SERVICE_PORT",
        f"{service}_SERVICE_PORT_{name}",
        f"{service}_PORT",
        whole,
        *(f"{whole}_{part}" for part in ("PROTO", "PORT", "ADDR")),
    }


@given(names=injected())
def test_what_kubernetes_injects_is_passed_over_and_takes_no_settings_name(names: set[str]) -> None:
    """No Service, whatever its name, can set a setting or stop the start."""
    assert names.isdisjoint(settings.EVERY_NAME)
    assert load(HOME | dict.fromkeys(names, "tcp://10.0.0.1:80")) == load(HOME)


def test_no_settings_name_looks_like_an_injected_one() -> None:
    """A setting added later cannot have a name that would be passed over."""
    assert [name for name in settings.EVERY_NAME if settings_reading.INJECTED.fullmatch(name)] == []


# --- Env files -------------------------------------------------------------------------------------------------------


def test_an_env_file_is_read_and_the_environment_goes_before_it(tmp_path: Path) -> None:
    """Both give settings; where they differ, the environment holds."""
    file = tmp_path / "settings.env"
    file.write_text(
        "# ours\nexport PCC_INTERVAL=5m\nPCC_WORKERS='2'\nHTTP_PROXY=x\n\nPCC_ENVIRONMENT=\n"
    )
    both = load(HOME | {"PCC_WORKERS": "3", "PCC_INTERVAL": ""}, file)
    assert both.interval == timedelta(minutes=5)
    assert both.workers == 3


@pytest.mark.parametrize(("inside", "outside"), [("", "_FILE"), ("_FILE", "")])
def test_the_environment_goes_before_the_file_in_either_form(
    tmp_path: Path, inside: str, outside: str
) -> None:
    """A secret in the environment replaces the other form of it in the file, and is no contradiction."""
    file = tmp_path / "settings.env"
    file.write_text(f"PCC_ACCESS_TOKEN{inside}={SECRET}\n")
    given = (
        load(HOME | {f"PCC_ACCESS_TOKEN{outside}": "/run/some/token"}, file)
        .shared_credentials()
        .access_token
    )
    assert (given.path is not None, given.value is not None) == (outside == "_FILE", outside == "")


def test_nothing_in_an_env_file_is_expanded(tmp_path: Path) -> None:
    """A dollar sign in a key is a dollar sign."""
    file = tmp_path / "settings.env"
    file.write_text("PCC_SERVICE_KEY=abc$HOME${HOME}def\n")
    key = load(HOME, file).service_key
    assert key is not None
    assert key.get_secret_value() == "abc$HOME${HOME}def"


def test_faults_in_an_env_file_have_a_line_and_show_nothing(tmp_path: Path) -> None:
    """Each fault names the line, also after blank ones, and a secret on a line of its own stays hidden."""
    file = tmp_path / "settings.env"
    file.write_text(f"\n\nPCC_MOOD=x\n\nPCC_WORKERS=none\n{SECRET}\n'unfinished=1\n")
    assert faults({}, file) == [
        f"{file}:3:1: PCC_MOOD: no such setting; did you mean 'PCC_MODE'?",
        f"{file}:5:1: PCC_WORKERS: has to be a whole number from 1 to 999999",
        f"{file}:6:1: not a line of the form NAME=value",
        f"{file}:7:1: not a line of the form NAME=value",
    ]


def test_an_env_file_that_cannot_be_read_is_a_fault_beside_the_others(tmp_path: Path) -> None:
    """A missing or binary env file is told together with what else is wrong."""
    assert faults({"PCC_MODE": "x"}, tmp_path / "none") == [
        "PCC_MODE: has to be one of enforce, observe",
        f"{tmp_path / 'none'}: cannot be read: No such file or directory",
    ]
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert faults({}, tmp_path / "binary") == [f"{tmp_path / 'binary'}: is not UTF-8 text"]


# --- Documentation ---------------------------------------------------------------------------------------------------


def test_the_documented_table_is_current() -> None:
    """The table in the documentation is what with_table makes of it: write its result to the file to mend this."""
    document = DOCUMENT.read_text(encoding="utf-8")
    assert settings_table.with_table(document) == document


def test_a_document_without_the_markers_is_refused() -> None:
    """A table cannot be put where no place is marked."""
    with pytest.raises(ValueError, match="marker"):
        settings_table.with_table("# Settings\n")


def test_every_row_of_the_table_says_something() -> None:
    """Each setting has a meaning and a default in words, in one line, and secrets are marked."""
    rows = settings_table.table()
    assert tuple(row.name for row in rows) == settings.EVERY_NAME
    for row in rows:
        assert row.meaning
        assert row.default
        assert not re.search(r"[|\n]", row.meaning + row.default)
    assert {row.name for row in rows if row.secret} == {
        "PCC_SERVICE_KEY",
        "PCC_STATE_URL",
        "PCC_HEARTBEAT_URL",
        "PCC_ACCESS_TOKEN",
        "PCC_REFRESH_TOKEN",
        "PCC_WEBHOOK_SECRET",
        "PCC_LISTEN_TOKEN",
        "PCC_READ_TOKEN",
        "PCC_RECEIVE_BASIC",
        "PCC_RECEIVE_SECRET",
        "PCC_EVENTS_TOKEN",
    }


def test_every_setting_the_documentation_speaks_of_exists() -> None:
    """Prose cannot name a setting that is gone."""
    document = DOCUMENT.read_text(encoding="utf-8").replace("a `PCC_PORT` of your own", "")
    named = set(re.findall(r"\bPCC_[A-Z_]*[A-Z]\b", document))
    assert named <= set(settings.EVERY_NAME)


def test_the_documented_example_of_one_account_is_valid(tmp_path: Path) -> None:
    """Whoever copies the example into an env file has settings without a fault."""
    examples = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.env"
        file.write_text(example)
        assert load(HOME, file).shared_credentials().service_key.is_set

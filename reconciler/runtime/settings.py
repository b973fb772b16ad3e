"""Every setting: its name, default and meaning, and how the environment is read.

Owns: reading the environment and an env file, once, for the daemon and the command line. The fields of ``Settings`` are
the one table of settings; the documentation is made from it (``settings_table``).
Must not: be imported by anything else (collaborators get values), read the ambient environment behind its caller's
back, or show a value in a fault: any of them may be a secret in the wrong place.

An empty variable counts as not set: Kubernetes and Compose files leave such variables behind. White space around a
value is not part of it.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from reconciler.core import addresses
from reconciler.core.errors import Fault, Invalid, suggestion
from reconciler.pcc import proxies
from reconciler.pcc.checks import SHORTEST, check_country, check_printable
from reconciler.pcc.credentials import Shared
from reconciler.pcc.proxies import Proxies
from reconciler.pcc.regions import Phase, Region
from reconciler.pcc.secret_files import Given, SecretReader
from reconciler.runtime.env_file import Variable, read_env_file
from reconciler.runtime.setting_values import (
    Address,
    Count,
    GitVerify,
    Identifier,
    Listen,
    LogFormat,
    LogLevel,
    Mode,
    Secret,
    Span,
    Truth,
    Wait,
    check_git_ref,
    check_git_url,
    one_of,
    read_listen,
)

PREFIX = "PCC_"

# What Kubernetes puts into every container for a Service whose name begins with "pcc".
_INJECTED = re.compile(
    r"PCC_(?:\w*_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w*)?|PORT|PORT_\d+_\w+)", re.ASCII
)

SECRETS = ("service_key", "access_token", "refresh_token", "webhook_secret", "listen_token")
_READ_FROM_FILES = (*SECRETS, "service_id", "client_id")


def _in_file(name: str) -> Any:
    return Field(
        None,
        description=f"path of a file that holds `{PREFIX}{name}`; it is read again when it changes",
    )


class Settings(BaseSettings):
    """The settings of one process, checked. Read them with ``load``; nothing here looks at the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    _proxies: Proxies = PrivateAttr(default_factory=Proxies)

    desired_state: Path = Field(
        Path("desired-state.toml"),
        description="the desired-state file, or a folder of them; with `PCC_GIT_URL` a path inside that repository",
    )
    git_url: Annotated[str, AfterValidator(check_git_url)] | None = Field(
        None,
        repr=False,
        description="follow this Git repository instead of local files: https, ssh, `file://` or a path",
    )
    git_ref: Annotated[str, AfterValidator(check_git_ref)] = Field(
        "main", description="the branch, tag or commit to follow"
    )
    git_interval: Wait = Field(
        timedelta(seconds=30),
        description="how often the repository is asked for something new; a webhook is quicker",
    )
    git_verify: Annotated[GitVerify, BeforeValidator(one_of(GitVerify))] = Field(
        GitVerify.NONE,
        description="`commit`: accept only commits with a good SSH or PGP signature. `none`: whoever can push decides",
    )
    git_allowed_signers: Path | None = Field(
        None,
        description="file of the SSH keys whose signatures are good, in the format of `ssh-keygen`; PGP keys come from"
        " git's own configuration (`GNUPGHOME`)",
    )
    webhook_secret: Secret | None = Field(
        None,
        description="turns on `POST /hooks/git`; the secret that the Git host signs its calls with",
    )
    webhook_secret_file: Path | None = _in_file("WEBHOOK_SECRET")
    environment: str | None = Field(
        None,
        description="a file whose `environment` is not this word is rejected: it comes from the wrong branch",
    )
    allow_http: Truth = Field(
        default=False,
        description="allow plain http to hosts that are not loopback. The service key and tokens then cross the network"
        " readable: for a trial network only",
    )
    base_url: Address | None = Field(
        None,
        description="where LG's API is: https, or http on loopback. Unset, it follows from region and phase",
        json_schema_extra={"shown": "derived"},
    )
    region: Annotated[Region, BeforeValidator(one_of(Region))] | None = Field(
        None,
        description="LG's cloud: `kic` Asia and Pacific, `eic` Europe, Middle East and Africa, `aic` the Americas",
        json_schema_extra={"shown": "from the country"},
    )
    phase: Annotated[Phase, BeforeValidator(one_of(Phase))] = Field(
        Phase.OP, description="LG's platform: `op` in operation, `qa` for trials"
    )
    service_id: Identifier | None = Field(
        None, description="the id that LG gave your service; for every account without its own"
    )
    service_id_file: Path | None = _in_file("SERVICE_ID")
    service_key: Secret | None = Field(
        None, description="the key that goes with that id; for every account without its own"
    )
    service_key_file: Path | None = _in_file("SERVICE_KEY")
    client_id: Identifier | None = Field(
        None,
        description="the app key that a refresh token was issued to; for every account without its own",
    )
    client_id_file: Path | None = _in_file("CLIENT_ID")
    token_url: Address | None = Field(
        None,
        description="where access tokens are renewed; https, or http on loopback",
        json_schema_extra={"shown": "from country and phase"},
    )
    backend_url: Annotated[str, AfterValidator(check_printable)] | None = Field(
        None,
        description="the `oauth2_backend_url` that LG returned at login; sent along when a token is renewed",
    )
    country: Annotated[str, AfterValidator(check_country)] | None = Field(
        None,
        description="two upper-case letters, like `KR`; for every account that names none of its own",
    )
    access_token: Secret | None = Field(
        None, description="access token of the account `default` only; it ends after about an hour"
    )
    access_token_file: Path | None = _in_file("ACCESS_TOKEN")
    refresh_token: Secret | None = Field(
        None,
        description="refresh token of the account `default` only; gets access tokens automatically",
    )
    refresh_token_file: Path | None = _in_file("REFRESH_TOKEN")
    credentials_dir: Path | None = Field(
        None,
        description="folder of files `ACCOUNT.access_token`, `ACCOUNT.service_id` and so on; watched",
    )
    mode: Annotated[Mode, BeforeValidator(one_of(Mode))] = Field(
        Mode.ENFORCE,
        description="`enforce`: make the live list equal to the file. `observe`: only look and report; nothing but GET"
        " (and a token renewal) can leave the process",
    )
    interval: Wait = Field(
        timedelta(minutes=10),
        description="time between two passes of an account, give or take 10 %; each costs a call of LG's quota, and"
        " drift is healed no sooner. A change of the file does not wait for it",
    )
    workers: Count = Field(
        8,
        description="how many accounts are in work at once; those that LG did not answer the last time take at most"
        " half of these places",
    )
    concurrency: Count = Field(8, description="how many calls are in flight at once in one account")
    request_timeout: Wait = Field(
        timedelta(seconds=15), description="limit for one whole call to LG, as in LG's own clients"
    )
    confirm_delay: Wait = Field(
        timedelta(seconds=30),
        description="how long to wait before a live list that looks wrong is read again",
    )
    state_dir: Path = Field(
        description="folder of the SQLite state, on a local disk that survives restarts: the record of what was done,"
        " and the count that limits unsubscribes",
        json_schema_extra={
            "shown": "`$XDG_STATE_HOME/pcc-reconciler`, else `~/.local/state/pcc-reconciler`"
        },
    )
    listen: Annotated[Listen, BeforeValidator(read_listen)] = Field(
        Listen("127.0.0.1", 8080),
        description="address and port of page, metrics and API; IPv6 as `[::1]:8080`; port 0 takes a free one",
    )
    listen_token: Secret | None = Field(
        None,
        description="bearer token for the calls that act or take input. Without it they exist only while the bind"
        " address is `127.0.0.1`, `::1` or `localhost`",
    )
    listen_token_file: Path | None = _in_file("LISTEN_TOKEN")
    log_level: Annotated[LogLevel, BeforeValidator(one_of(LogLevel))] = Field(
        LogLevel.INFO, description="`debug`, `info`, `warning` or `error`"
    )
    log_format: Annotated[LogFormat, BeforeValidator(one_of(LogFormat))] = Field(
        LogFormat.AUTO,
        description="on stderr. `json`: one object a line; `console`: for people; `auto`: console if it is a terminal",
    )
    metrics_per_account: Truth = Field(
        default=True,
        description="`false` for fleets of thousands of accounts: only the sums, without account labels",
    )
    shutdown_grace: Span = Field(
        timedelta(seconds=25),
        description="how long calls in flight may take to end after SIGTERM; less than Kubernetes' own 30 s",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what ``load`` hands in and nothing else, so that the environment is an argument."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @field_validator("git_url")
    @classmethod
    def _path_in_repository(cls, value: str | None, info: ValidationInfo) -> str | None:
        path = PurePath(info.data.get("desired_state", ""))
        if value is not None and (path.is_absolute() or ".." in path.parts):
            raise ValueError(
                "PCC_DESIRED_STATE has then to be a relative path inside the repository, without .."
            )
        return value

    @field_validator("git_verify")
    @classmethod
    def _only_commits_are_signed(cls, value: GitVerify, info: ValidationInfo) -> GitVerify:
        if value is GitVerify.COMMIT and info.data.get("git_url", "") is None:
            raise ValueError("commit needs PCC_GIT_URL: local files carry no signature")
        return value

    @field_validator(*(f"{name}_file" for name in _READ_FROM_FILES))
    @classmethod
    def _one_form_only(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        name = str(info.field_name).removesuffix("_file")
        if value is not None and info.data.get(name, "") is not None:
            raise ValueError(f"set this or {variable(name)}, not both")
        return value

    @property
    def acting_allowed(self) -> bool:
        """Say whether the calls that act exist: they are guarded by a token, or out of reach for others."""
        return self._given("listen_token").is_set or self.listen.host in {
            "127.0.0.1",
            "::1",
            "localhost",
        }

    def shared_credentials(self) -> Shared:
        """Return the service's own credentials, for the ``CredentialStore``."""
        return Shared(
            service_id=self._given("service_id"),
            service_key=self._given("service_key"),
            client_id=self._given("client_id"),
            access_token=self._given("access_token"),
            refresh_token=self._given("refresh_token"),
            country=self.country,
            base_url=self.base_url,
            token_url=self.token_url,
            backend_url=self.backend_url,
            region=self.region,
            phase=self.phase,
            allow_http=self.allow_http,
        )

    def webhook_secret_reader(self) -> SecretReader | None:
        """Return what reads the webhook's secret anew at each use, or None where there is no webhook."""
        given = self._given("webhook_secret")
        return SecretReader(given) if given.is_set else None

    def listen_token_reader(self) -> SecretReader | None:
        """Return what reads the bearer token anew at each use, or None where none is asked for."""
        given = self._given("listen_token")
        return SecretReader(given) if given.is_set else None

    @property
    def proxies(self) -> Proxies:
        """What the environment says about proxies."""
        return self._proxies

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works, and may not mean what it seems to. Each names its variable; none shows a value."""
        return self._proxies.warnings

    def secrets(self) -> frozenset[str]:
        """Return every secret that is in a variable itself, for the masking of logs."""
        given = (self._given(name).value for name in (*SECRETS, "service_id"))
        found = frozenset(value.get_secret_value() for value in given if value is not None)
        long = frozenset(value for value in found if len(value) >= SHORTEST)
        return long | _secrets_in_url(self.git_url or "") | self._proxies.secrets

    def _given(self, name: str) -> Given:
        return Given(variable(name), getattr(self, name), getattr(self, f"{name}_file"))


def _secrets_in_url(url: str) -> set[str]:
    """Return what of a repository's address is secret. The user name of an ssh address is none."""
    return addresses.secrets_in(url, users=url.lower().startswith(("http://", "https://")))


def variable(field: str) -> str:
    """Return the name of the variable that sets a field."""
    return f"{PREFIX}{field.upper()}"


_VARIABLES = {field: variable(field) for field in Settings.model_fields}

NAMES = tuple(_VARIABLES.values())
"""The names of all settings."""


def load(
    environ: Mapping[str, str] = os.environ,
    env_file: Path | None = None,
    *,
    user: Callable[[], int] = os.getuid,
) -> Settings:
    """Return the settings, or raise ``Invalid`` with every fault of the environment and the env file.

    The environment goes before the file, also where one has ``NAME`` and the other ``NAME_FILE``. Of the file only
    ``PCC_*`` is read, and nothing in it is expanded: a ``$`` in a key is a ``$``. ``user`` is asked only where the
    environment does not tell a home folder.
    """
    in_file, faults = ({}, []) if env_file is None else read_env_file(env_file)
    in_environment = {name: Variable(value) for name, value in environ.items()}
    for name, text in in_environment.items():
        if text.value.strip():
            in_file.pop(f"{name}_FILE", None)
            in_file.pop(name.removesuffix("_FILE"), None)
    texts = [*in_file.items(), *in_environment.items()]
    faults += [
        text.fault(f"{name}: no such setting{_nearest(name)}")
        for name, text in texts
        if _unknown(name)
    ]
    faults += [
        text.fault(f"{name}: {QUOTED}") for name, text in texts if _in_quotes(name, text.value)
    ]
    named = proxies.read(environ)
    faults += named.faults
    given = {
        name: text
        for name, text in texts
        if text.value.strip() and not _in_quotes(name, text.value)
    }
    values: dict[str, Any] = {"state_dir": home} if (home := _state_home(environ, user)) else {}
    values |= {
        field: given[name].value.strip() for field, name in _VARIABLES.items() if name in given
    }
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise Invalid(
            [*faults, *_faults(error, given)]
        ) from None  # its own words are in the faults
    if faults:
        raise Invalid(faults)
    settings._proxies = named  # noqa: SLF001 - a value of ours, which is no setting and has no place in the table
    return settings


def suspects(
    environ: Mapping[str, str] = os.environ, env_file: Path | None = None
) -> frozenset[str]:
    """Return what may be secret among the values of settings as they are written, also where they are not valid.

    It is what to mask before anything is checked: a fault, or a defect of this program, must not print it either.
    """
    in_file, _ = ({}, []) if env_file is None else read_env_file(env_file)
    found = set(proxies.read(environ).secrets)
    for name, value in [*((name, text.value) for name, text in in_file.items()), *environ.items()]:
        if not name.upper().startswith(PREFIX) or _INJECTED.fullmatch(name):
            continue
        field = name.upper().removeprefix(PREFIX).lower()
        bare = addresses.unquoted(value.strip()).strip()
        known = field in Settings.model_fields
        if (field in SECRETS or field == "service_id" or not known) and len(bare) >= SHORTEST:
            found |= {value.strip(), bare}
        if known and field not in SECRETS:
            found |= _secrets_in_url(bare)
    return frozenset(found)


def log_format(environ: Mapping[str, str] = os.environ, env_file: Path | None = None) -> str:
    """Return how the log is wanted, also where other settings are not valid: the last line of a failed start asks."""
    in_file, _ = ({}, []) if env_file is None else read_env_file(env_file)
    name = f"{PREFIX}LOG_FORMAT"
    written = environ.get(name, "").strip() or (
        in_file[name].value.strip() if name in in_file else ""
    )
    wanted = addresses.unquoted(written).strip().lower()
    return wanted if wanted in set(LogFormat) else LogFormat.AUTO


QUOTED = (
    "the value is in quotes, which are a part of it: docker's --env-file and Kubernetes keep them; "
    "write it without"
)


def _in_quotes(name: str, value: str) -> bool:
    """Say whether a setting of ours has a value that is wrapped in quotes. None can begin and end with one."""
    return name in NAMES and addresses.is_quoted(value.strip())


def _unknown(name: str) -> bool:
    """Say whether a name is meant for us and not known. One in lower case is meant for us if it would be known."""
    if name.startswith(PREFIX):
        return name not in NAMES and not _INJECTED.fullmatch(name)
    return name.upper() in NAMES


def _nearest(name: str) -> str:
    return suggestion(name.upper(), NAMES)


def _state_home(environ: Mapping[str, str], user: Callable[[], int]) -> Path | None:
    """Return the user's state folder by the XDG rules, of which one is that a relative path does not count."""
    named = environ.get("XDG_STATE_HOME", "")
    if named.startswith("/"):
        return Path(named) / "pcc-reconciler"
    home = environ.get("HOME")
    if not home:
        try:
            home = pwd.getpwuid(user()).pw_dir
        except KeyError:  # a container may run under a number that no user has
            return None
    return Path(home) / ".local/state/pcc-reconciler"


def _faults(error: ValidationError, given: Mapping[str, Variable]) -> list[Fault]:
    faults = []
    for one in error.errors(include_url=False, include_input=False):
        name = variable(str(one["loc"][0]))
        cause = one.get("ctx", {}).get("error", one["msg"])
        if one["type"] == "missing":
            cause = "has to be set: this user has no home folder to keep state in"
        faults.append(given.get(name, Variable("")).fault(f"{name}: {cause}"))
    return faults

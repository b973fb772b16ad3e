"""Every setting: its name, default and meaning, and which process has which.

Owns: the settings of the daemon and of all commands but those of the receiving process, and what each process knows of
the other's. The fields of ``Settings`` and ``ReceiverSettings`` are the one table of settings; the documentation is
made from it (``settings_table``). Must not: be imported by anything else (collaborators get values), or read the
ambient environment behind its caller's back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from reconciler.core import addresses, duration
from reconciler.core.errors import Fault, Invalid
from reconciler.core.replicas import shortest_lease
from reconciler.pcc.checks import check_country, check_printable
from reconciler.pcc.credentials import Shared
from reconciler.pcc.regions import Phase, Region
from reconciler.pcc.secret_files import SecretReader
from reconciler.runtime import settings_reading as reading
from reconciler.runtime.env_file import read_env_file
from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.setting_values import (
    Address,
    Count,
    HeartbeatUrl,
    Identifier,
    LogFormat,
    Mode,
    Receivers,
    Secret,
    StateUrl,
    Truth,
    Wait,
    check_heartbeat_url,
    check_state_url,
    one_of,
)
from reconciler.runtime.settings_reading import in_file, variable
from reconciler.runtime.surface_settings import SurfaceSettings

if TYPE_CHECKING:
    from reconciler.state.place import Place

_OF_LG = ("service_id", "service_key", "client_id", "access_token", "refresh_token")


class Settings(SurfaceSettings):
    """The settings of the daemon, checked. Read them with ``load``; nothing here looks at the environment."""

    work_field: ClassVar[str] = "state_dir"
    secret_fields: ClassVar[tuple[str, ...]] = (
        "service_key",
        "access_token",
        "refresh_token",
        "webhook_secret",
        "listen_token",
        "read_token",
        "events_token",
        "state_url",
        "heartbeat_url",
    )
    masked_fields: ClassVar[tuple[str, ...]] = ("service_id",)

    webhook_secret: Secret | None = Field(
        None,
        description="turns on `POST /hooks/git`; the secret that the Git host signs its calls with",
    )
    webhook_secret_file: Path | None = in_file("WEBHOOK_SECRET")
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
    service_id_file: Path | None = in_file("SERVICE_ID")
    service_key: Secret | None = Field(
        None, description="the key that goes with that id; for every account without its own"
    )
    service_key_file: Path | None = in_file("SERVICE_KEY")
    client_id: Identifier | None = Field(
        None,
        description="the app key that a refresh token was issued to; for every account without its own",
    )
    client_id_file: Path | None = in_file("CLIENT_ID")
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
    access_token_file: Path | None = in_file("ACCESS_TOKEN")
    refresh_token: Secret | None = Field(
        None,
        description="refresh token of the account `default` only; gets access tokens automatically",
    )
    refresh_token_file: Path | None = in_file("REFRESH_TOKEN")
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
    state_url: StateUrl | None = Field(
        None,
        description="address of a PostgreSQL that keeps the state instead, `postgresql://USER:PASSWORD@HOST/DATABASE`."
        " Several replicas may share it. `PCC_STATE_DIR` then holds only the clone of the repository",
    )
    state_url_file: Path | None = in_file("STATE_URL")
    lease: Wait = Field(
        timedelta(seconds=45),
        validate_default=True,
        description="with `PCC_STATE_URL`: how long a replica that is not heard of keeps its accounts; at least"
        " 20 s more than `PCC_REQUEST_TIMEOUT`",
    )
    events_from: Receivers = Field(
        (),
        description="base addresses of the receivers, separated by commas, such as `http://pcc-receiver-0:8081`. The"
        " daemon asks them every minute which events came, and holds these against its lists",
        json_schema_extra={"shown": "not set"},
    )
    events_token: Secret | None = Field(
        None,
        description="(`run`, `receive`) bearer token of the receivers' calls that show events. Without it these exist"
        " only while the receiver's bind address is loopback",
    )
    events_token_file: Path | None = in_file("EVENTS_TOKEN")
    heartbeat_url: HeartbeatUrl | None = Field(
        None,
        description="address of a service outside, called once a minute while every account has its passes, and with"
        " `/fail` behind it when one has none. Whoever waits there notices also when no call comes. https, or http on"
        " loopback",
    )
    heartbeat_url_file: Path | None = in_file("HEARTBEAT_URL")

    @field_validator("lease")
    @classmethod
    def _longer_than_a_call(cls, value: timedelta, info: ValidationInfo) -> timedelta:
        shared = info.data.get("state_url") or info.data.get("state_url_file")
        least = shortest_lease(info.data.get("request_timeout", timedelta(0)))
        if shared and value < least:
            raise ValueError(
                f"has to be at least {duration.show(least)}: 20s more than PCC_REQUEST_TIMEOUT,"
                " so that every call ends while its replica still owns the account"
            )
        return value

    @property
    def state_place(self) -> Place:
        """Where the state is kept."""
        from reconciler.state.place import Place  # noqa: PLC0415 - a command without a state loads no database

        reader = self.reader("state_url", check=check_state_url)
        return Place(self.state_dir, None if reader is None else reader.required)

    def parts_of_secret(self, name: str, value: str) -> set[str]:
        """Return what has to be masked of the value of a secret setting."""
        found = super().parts_of_secret(name, value)
        return found | addresses.path_secrets(value) if name == "heartbeat_url" else found

    def shared_credentials(self) -> Shared:
        """Return the service's own credentials, for the ``CredentialStore``."""
        return Shared(
            service_id=self.given("service_id"),
            service_key=self.given("service_key"),
            client_id=self.given("client_id"),
            access_token=self.given("access_token"),
            refresh_token=self.given("refresh_token"),
            country=self.country,
            base_url=self.base_url,
            token_url=self.token_url,
            backend_url=self.backend_url,
            region=self.region,
            phase=self.phase,
            allow_http=self.allow_http,
        )

    def unreadable_secrets(self) -> tuple[str, ...]:
        """Read what callers have to show, and return why it cannot be read: then nobody gets in."""
        readers = (self.reader(name) for name in ("listen_token", "read_token", "webhook_secret"))
        read = (reader.read() for reader in readers if reader is not None)
        return tuple(secret for secret in read if isinstance(secret, str))

    def webhook_secret_reader(self) -> SecretReader | None:
        """Return what reads the webhook's secret anew at each use, or None where there is no webhook."""
        return self.reader("webhook_secret")

    def heartbeat_url_reader(self) -> SecretReader | None:
        """Return what reads the address of the heartbeat anew at each use, or None where there is none."""
        check = partial(check_heartbeat_url, allow_http=self.allow_http)
        return self.reader("heartbeat_url", check=check)

    def events_token_reader(self) -> SecretReader | None:
        """Return what reads the receivers' bearer token anew at each use, or None where none is set."""
        return self.reader("events_token")


NAMES = tuple(map(variable, Settings.model_fields))
"""The names of the daemon's settings."""
EVERY_NAME = tuple(dict.fromkeys((*NAMES, *map(variable, ReceiverSettings.model_fields))))
"""The names of all settings. Each process knows those of the other, so that both can share one file of settings."""
SECRETS = tuple(map(variable, (*Settings.secret_fields, *ReceiverSettings.secret_fields)))
"""The names of all settings whose value is a secret as a whole."""
MASKED = (*SECRETS, *map(variable, Settings.masked_fields))
LG_CREDENTIALS = (
    *map(variable, _OF_LG),
    *(f"{variable(name)}_FILE" for name in _OF_LG),
    variable("credentials_dir"),
)
"""The names of the settings that hold a credential of LG's."""
NOT_HERE = (
    "the receiving process faces the internet and must not hold a credential of LG's; "
    "take it out of its environment"
)


def load(
    environ: Mapping[str, str] = os.environ,
    env_file: Path | None = None,
    *,
    user: Callable[[], int] = os.getuid,
) -> Settings:
    """Return the daemon's settings, or raise ``Invalid`` with every fault of the environment and the env file.

    ``user`` is asked only where the environment does not name a home folder.
    """
    written = reading.read(environ, env_file, EVERY_NAME)
    home = reading.state_home(environ, user)
    values: dict[str, Any] = {} if home is None else {"state_dir": home}
    values |= written.values(Settings.model_fields)
    settings = reading.checked(Settings, written, values)
    settings.through(written.proxies)
    return settings


def load_receiver(
    environ: Mapping[str, str] = os.environ,
    env_file: Path | None = None,
    *,
    serving: bool = True,
    user: Callable[[], int] = os.getuid,
) -> ReceiverSettings:
    """Return the settings of the receiving process, or raise ``Invalid`` with every fault.

    ``serving``: the process takes calls. Then none of LG's credentials may be there, and callers have to show one.
    Commands that only look at the spool take what they need.
    """
    written = reading.read(environ, env_file, EVERY_NAME)
    faults = _credentials_of_lg(written) if serving else []
    home = reading.state_home(environ, user)
    values: dict[str, Any] = {} if home is None else {"events_dir": home / "events"}
    values |= written.values(ReceiverSettings.model_fields)
    settings = reading.checked(ReceiverSettings, written, values, faults)
    if serving and (missing := settings.missing_credential()) is not None:
        raise Invalid([Fault("", 0, 0, missing)])
    settings.through(written.proxies)
    return settings


def _credentials_of_lg(written: reading.Written) -> list[Fault]:
    """Return a fault for each setting that holds a credential of LG's."""
    present = [name for name in LG_CREDENTIALS if name in written.given]
    return [written.given[name].fault(f"{name}: {NOT_HERE}") for name in present]


def suspects(
    environ: Mapping[str, str] = os.environ, env_file: Path | None = None
) -> frozenset[str]:
    """Return what may be secret among the values of settings as they are written, also where they are not valid.

    It is what to mask before anything is checked: a fault, or a defect of this program, must not print it either.
    """
    return reading.suspects(environ, env_file, names=EVERY_NAME, secrets=MASKED)


def log_format(environ: Mapping[str, str] = os.environ, env_file: Path | None = None) -> str:
    """Return how the log is wanted, also where other settings are not valid: the last line of a failed start asks."""
    in_file, _ = ({}, []) if env_file is None else read_env_file(env_file)
    name = variable("log_format")
    written = environ.get(name, "").strip() or (
        in_file[name].value.strip() if name in in_file else ""
    )
    wanted = addresses.unquoted(written).strip().lower()
    return wanted if wanted in set(LogFormat) else LogFormat.AUTO

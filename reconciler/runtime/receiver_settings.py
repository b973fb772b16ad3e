"""The settings of the receiving process.

Owns: their names, defaults and meaning. Must not: have a field for a credential of LG's, as this process faces the
internet.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from reconciler.pcc.secret_files import SecretReader
from reconciler.runtime.common_settings import CommonSettings
from reconciler.runtime.setting_values import (
    BasicPairs,
    Listen,
    PathSecrets,
    Secret,
    Size,
    check_pairs,
    check_path_secrets,
    check_source,
    read_listen,
)
from reconciler.runtime.settings_reading import in_file


class ReceiverSettings(CommonSettings):
    """The settings of the receiving process, checked. Read them with ``settings.load_receiver``."""

    work_field: ClassVar[str] = "events_dir"
    secret_fields: ClassVar[tuple[str, ...]] = ("receive_basic", "receive_secret", "events_token")

    receive_listen: Annotated[Listen, BeforeValidator(read_listen)] = Field(
        Listen("127.0.0.1", 8081),
        description="(`receive`) address and port where LG's calls come in; metrics, health and the read API too",
    )
    receive_metrics_listen: Annotated[Listen, BeforeValidator(read_listen)] | None = Field(
        None,
        description="(`receive`) address and port for `/metrics` alone; it is then gone from `PCC_RECEIVE_LISTEN`",
    )
    receive_basic: BasicPairs | None = Field(
        None,
        description="(`receive`) `user:password` that LG sends as Basic authentication; two lines are the new and the"
        " old one while it is being replaced",
    )
    receive_basic_file: Path | None = in_file("RECEIVE_BASIC")
    receive_secret: PathSecrets | None = Field(
        None,
        description="(`receive`) last path segment that LG has to call: `/pcc/events/{secret}`; at least 22 letters,"
        " digits or `-._~`. For callers that can be given nothing but a URL; two lines as above",
    )
    receive_secret_file: Path | None = in_file("RECEIVE_SECRET")
    events_config: Path = Field(
        Path("events.toml"),
        description="(`receive`) file that names sinks and Logic Table; it is read again when it changes",
    )
    events_dir: Path = Field(
        description="(`receive`, `events`) folder of the spool, on a local disk that survives restarts; one for each"
        " receiving process",
        json_schema_extra={
            "shown": "`$XDG_STATE_HOME/pcc-reconciler/events`, else `~/.local/state/pcc-reconciler/events`"
        },
    )
    events_token: Secret | None = Field(
        None,
        description="(`run`, `receive`) bearer token of the receivers' calls that show events. Without it these exist"
        " only while the receiver's bind address is loopback",
    )
    events_token_file: Path | None = in_file("EVENTS_TOKEN")
    event_source: Annotated[str, AfterValidator(check_source)] | None = Field(
        None,
        description="(`receive`) `source` of the CloudEvents that leave",
        json_schema_extra={"shown": "`urn:pcc:` and `PCC_ENVIRONMENT`, else `urn:pcc:default`"},
    )
    spool_limit: Size = Field(
        1024**3,
        description="(`receive`) size of the spool at which calls are answered 503, like `500MiB`",
        json_schema_extra={"shown": "`1GiB`"},
    )

    @field_validator("receive_metrics_listen")
    @classmethod
    def _port_of_its_own(cls, value: Listen | None, info: ValidationInfo) -> Listen | None:
        if value is not None and value.port and value == info.data.get("receive_listen"):
            raise ValueError(
                "is the same as PCC_RECEIVE_LISTEN; leave it out, or name another port"
            )
        return value

    @property
    def source(self) -> str:
        """The ``source`` of the CloudEvents that leave."""
        return self.event_source or f"urn:pcc:{self.environment or 'default'}"

    def missing_credential(self) -> str | None:
        """Return why nobody could be let in: callers have to show something, unless only this machine can call."""
        asked = self.given("receive_basic").is_set or self.given("receive_secret").is_set
        if asked or self.receive_listen.on_loopback:
            return None
        return (
            "PCC_RECEIVE_BASIC: set this or PCC_RECEIVE_SECRET: PCC_RECEIVE_LISTEN is not loopback, and anybody could"
            " send events"
        )

    def basic_reader(self) -> SecretReader | None:
        """Return what reads the pairs anew at each use, or None where Basic authentication is not asked for."""
        given = self.given("receive_basic")
        return SecretReader(given, check=check_pairs) if given.is_set else None

    def path_secret_reader(self) -> SecretReader | None:
        """Return what reads the path's secrets anew at each use, or None where none is asked for."""
        given = self.given("receive_secret")
        return SecretReader(given, check=check_path_secrets) if given.is_set else None

    def parts_of_secret(self, name: str, value: str) -> set[str]:
        """Return what has to be masked of the value of a secret setting: of pairs the password, too."""
        lines = value.splitlines()
        if name != "receive_basic":
            return set(lines)
        return {part for line in lines for part in parts_of_pair(line)}


def parts_of_pair(pair: str) -> tuple[str, ...]:
    """Return what has to be masked of a ``user:password`` pair: it, its password, and how a header carries it."""
    encoded = b64encode(pair.encode()).decode().rstrip("=")
    return (pair, pair.partition(":")[2], encoded)

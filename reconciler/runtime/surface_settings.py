"""The settings of the daemon's HTTP surface: where it is, who may read and act, and where its links lead.

Owns: those fields, and what they make together. Must not: serve anything (``server`` and ``api`` do).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from reconciler.api.links import Links
from reconciler.pcc.secret_files import SecretReader
from reconciler.runtime.common_settings import CommonSettings
from reconciler.runtime.link_values import (
    check_base_path,
    check_commit_url,
    check_docs_url,
    check_link,
)
from reconciler.runtime.setting_values import Listen, Secret, Truth, read_listen
from reconciler.runtime.settings_reading import in_file

OPEN_TO_ALL = (
    "PCC_READ_TOKEN is not set and PCC_LISTEN is not loopback: whoever reaches the port can read"
    " the names and ids of devices"
)


class SurfaceSettings(CommonSettings):
    """The settings of the HTTP surface, checked one by one."""

    listen: Annotated[Listen, BeforeValidator(read_listen)] = Field(
        Listen("127.0.0.1", 8080),
        description="address and port of pages, metrics and API; IPv6 as `[::1]:8080`; port 0 takes a free one",
    )
    listen_token: Secret | None = Field(
        None,
        description="bearer token for the calls that act or take input; it reads as well. Without it they exist only"
        " while the bind address is `127.0.0.1`, `::1` or `localhost`",
    )
    listen_token_file: Path | None = in_file("LISTEN_TOKEN")
    read_token: Secret | None = Field(
        None,
        description="token for reading pages and read API: a bearer token, or in a browser the password with any user"
        " name. `/healthz`, `/readyz` and `/metrics` stay open. Without it whoever reaches the port can read",
    )
    read_token_file: Path | None = in_file("READ_TOKEN")
    base_path: Annotated[str, AfterValidator(check_base_path)] = Field(
        "",
        description="path under which pages and API are, such as `/pcc-reconciler`, for an address that is shared with"
        " others. `/healthz`, `/readyz`, `/metrics` and `/hooks/git` are at the root too",
        json_schema_extra={"shown": "not set: at the root"},
    )
    metrics_listen: Annotated[Listen, BeforeValidator(read_listen)] | None = Field(
        None,
        description="address and port for `/metrics` alone; it is then gone from `PCC_LISTEN`",
    )
    metrics_per_account: Truth = Field(
        default=True,
        description="`false` for fleets of thousands of accounts: only the sums, without account labels",
    )
    docs_url: Annotated[str, AfterValidator(check_docs_url)] | None = Field(
        None,
        description="where these documents are, such as `https://git.example.com/pcc/docs`; pages then link reasons to"
        " sections, as in `guards.md#too-many`",
    )
    commit_url: Annotated[str, AfterValidator(check_commit_url)] | None = Field(
        None,
        description="where the forge shows a commit, such as `https://git.example.com/fleet/commit/{commit}`; pages"
        " then link commits",
    )
    grafana_url: Annotated[str, AfterValidator(check_link)] | None = Field(
        None, description="where the dashboards are; pages then link to them"
    )

    @field_validator("metrics_listen")
    @classmethod
    def _port_of_its_own(cls, value: Listen | None, info: ValidationInfo) -> Listen | None:
        if value is not None and value.port and value == info.data.get("listen"):
            raise ValueError("is the same as PCC_LISTEN; leave it out, or name another port")
        return value

    @property
    def acting_allowed(self) -> bool:
        """Say whether the calls that act exist: they are guarded by a token, or out of reach for others."""
        return self.given("listen_token").is_set or self.listen.on_loopback

    @property
    def near(self) -> str:
        """The address at which a program of this machine reaches the daemon, with the base path."""
        return f"{self.listen.near}{self.base_path}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works, and may not mean what it seems to."""
        guarded = self.listen.on_loopback or self.given("read_token").is_set
        return super().warnings if guarded else (*super().warnings, OPEN_TO_ALL)

    @property
    def links(self) -> Links:
        """Where the links of the pages lead."""
        return Links(
            base=self.base_path,
            docs=self.docs_url or "",
            commit=self.commit_url or "",
            grafana=self.grafana_url or "",
            metrics=self.metrics_listen is None,
        )

    def listen_token_reader(self) -> SecretReader | None:
        """Return what reads the acting token anew at each use, or None where none is asked for."""
        return self.reader("listen_token")

    def read_token_reader(self) -> SecretReader | None:
        """Return what reads the reading token anew at each use, or None where none is asked for."""
        return self.reader("read_token")

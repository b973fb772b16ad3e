"""The settings that every process of ours has: where the desired state comes from, and how it logs.

Owns: those fields, and what all settings have in common. Must not: look at the environment (``settings_reading`` does).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from reconciler.pcc.checks import SHORTEST, check_secret
from reconciler.pcc.proxies import Proxies
from reconciler.pcc.secret_files import Given, SecretReader
from reconciler.runtime.setting_values import (
    GitVerify,
    LogFormat,
    LogLevel,
    Span,
    Wait,
    check_git_ref,
    check_git_url,
    one_of,
)
from reconciler.runtime.settings_reading import PREFIX, secrets_in_url, variable


class CommonSettings(BaseSettings):
    """What the settings of every process have.

    ``work_field`` names the folder in which a process keeps what it has to keep. ``secret_fields`` are those whose
    whole value is a secret; ``masked_fields`` are no secrets, and masked as well.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )
    work_field: ClassVar[str]
    secret_fields: ClassVar[tuple[str, ...]] = ()
    masked_fields: ClassVar[tuple[str, ...]] = ()

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
    environment: str | None = Field(
        None,
        description="a file whose `environment` is not this word is rejected: it comes from the wrong branch",
    )
    log_level: Annotated[LogLevel, BeforeValidator(one_of(LogLevel))] = Field(
        LogLevel.INFO, description="`debug`, `info`, `warning` or `error`"
    )
    log_format: Annotated[LogFormat, BeforeValidator(one_of(LogFormat))] = Field(
        LogFormat.AUTO,
        description="on stderr. `json`: one object a line; `console`: for people; `auto`: console if it is a terminal",
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
        """Take what is handed in and nothing else, so that the environment is an argument."""
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

    @field_validator("*")
    @classmethod
    def _one_form_only(cls, value: Any, info: ValidationInfo) -> Any:
        field = str(info.field_name)
        name = field.removesuffix("_file")
        if name != field and value is not None and info.data.get(name, "") is not None:
            raise ValueError(f"set this or {variable(name)}, not both")
        return value

    @property
    def work_dir(self) -> Path:
        """The folder in which this process keeps what it has to keep; it holds its lock."""
        folder: Path = getattr(self, self.work_field)
        return folder

    @property
    def proxies(self) -> Proxies:
        """What the environment says about proxies."""
        return self._proxies

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works, and may not mean what it seems to. Each names its variable; none shows a value."""
        return self._proxies.warnings

    def through(self, proxies: Proxies) -> None:
        """Take what the environment says about proxies; it is no setting, and has no place in the table."""
        self._proxies = proxies

    def secrets(self) -> frozenset[str]:
        """Return every secret that is in a variable itself, for the masking of logs."""
        found: set[str] = set()
        for name in (*self.secret_fields, *self.masked_fields):
            value = self.given(name).value
            if value is not None:
                found |= self.parts_of_secret(name, value.get_secret_value())
        long = frozenset(value for value in found if len(value) >= SHORTEST)
        return long | secrets_in_url(self.git_url or "") | self._proxies.secrets

    def parts_of_secret(self, name: str, value: str) -> set[str]:
        """Return what has to be masked of the value of a secret setting."""
        del name
        return {value} | secrets_in_url(value)

    def given(self, name: str) -> Given:
        """Return a value that is given directly or in a file."""
        value: SecretStr | None = getattr(self, name)
        path: Path | None = getattr(self, f"{name}_file")
        return Given(variable(name), value, path)

    def reader(self, name: str, check: Callable[[str], str] = check_secret) -> SecretReader | None:
        """Return what reads a secret anew at each use, or None where it is not set."""
        given = self.given(name)
        return SecretReader(given, check=check) if given.is_set else None

"""The environment (`PERENNIAL_*`): everything that changes the place, never a model.

Every setting has a default that works on one machine, offline. A value that cannot be used raises
`SettingsError` naming its variable.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from core.console_settings import ConsoleSettings
from core.contracts import is_plain_name
from core.errors import SettingsError
from core.groups import Group, group_of, parse_groups
from core.source_addresses import SourceAddress, named_sources, source_variable
from core.urls import usable_url

REPOSITORY = Path(__file__).resolve().parent.parent
LAST_PORT = 65535
INPUT_SHOULD_BE = "Input should be "
PLAIN_TYPES = ("_parsing", "_than", "_equal", "literal_error", "_from_float")
"""How pydantic names errors of numbers, flags and choices: their values are never secrets."""


class Settings(ConsoleSettings):
    """One field per variable: `home` is `PERENNIAL_HOME`. Relative paths become absolute."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", frozen=True, extra="ignore")

    # Places

    repository: Path = REPOSITORY
    """The git checkout that retrainings clone."""

    home: Path = REPOSITORY / "var"
    """Everything made at run time: database, models, journal, reports."""

    embedder: Path = REPOSITORY / "build" / "embedder"
    """Folder of the embedder's model and embedder.json; a bento uses the one it contains."""

    # Databases: SQLAlchemy or PostgreSQL URLs, secrets included

    database_url: SecretStr | None = None
    """Your own PostgreSQL; by default an embedded one under `home`."""

    prefect_database_url: SecretStr | None = None
    """A database of its own for Prefect; by default one on Perennial's server."""

    mlflow_database_url: SecretStr | None = None
    """A database of its own for MLflow; by default one on Perennial's server."""

    source_url: SourceAddress | None = None
    """Where the labelled rows come from: any SQLAlchemy URL, a file or a folder of files.

    By default the demo source."""

    sources: dict[str, SourceAddress] = Field(default_factory=named_sources, validate_default=True)
    """`PERENNIAL_SOURCE_<NAME>_URL`: the sources of the blocks that name one with `from`."""

    # Addresses

    host: str = "127.0.0.1"
    """Address that every server listens on."""

    service_port: int = Field(3000, ge=1, le=LAST_PORT)
    """Port of the first group's service; further groups take the ports after it."""

    prefect_port: int = Field(4200, ge=1, le=LAST_PORT)
    mlflow_port: int = Field(5000, ge=1, le=LAST_PORT)
    evidently_port: int = Field(8000, ge=1, le=LAST_PORT)
    console_port: int = Field(8500, ge=1, le=LAST_PORT)

    api_keys_file: Path | None = None
    """One SHA-256 of an API key per line; required when `host` is not loopback."""

    # Serving

    bentos: str = ""
    """Groups of classifiers served apart, such as `chapter,block;encounter_phase`."""

    bento: int = Field(1, ge=1)
    """The group that this process serves; `perennial serve` sets it for each process."""

    cache_phrases: int = Field(50_000, ge=1)
    """Embeddings that the Embedder service caches."""

    cache_answers: int = Field(20_000, ge=1)
    """Answers that the Classifier service caches."""

    answer_seconds: float = Field(3.0, gt=0)
    """How long a request waits for the embedder before it is answered with 503."""

    warm_phrases: int = Field(2_000, ge=0)
    """Phrases per classifier that a version answers before it takes traffic; 0 for none."""

    warm_seconds: float = Field(5.0, ge=0)
    """The longest that warming may take; readiness and a new version wait for it."""

    poll_seconds: float = Field(1.0, gt=0)
    """How often the service reads the table `deployment`."""

    # Inference log

    journal_mb: int = Field(1024, ge=16)
    """Megabytes of answers that may wait for the database; further rows are dropped and counted."""

    journal_sync: bool = True
    """Whether an answer waits until its row is on disk; without, a power cut may cost rows."""

    keep_months: int = Field(36, ge=1)
    """Full months that the inference log is kept; corrected rows stay."""

    # Retraining, notices and logs

    stage_seconds: float = Field(6 * 3600.0, gt=0)
    """The longest that one call of DVC may take in a retraining."""

    schedules: bool = True
    """Whether schedules run; false keeps the deployments and pauses their schedules."""

    notify: SecretStr | None = None
    """Apprise URLs that take notices for people, separated by spaces."""

    log_format: str = Field("auto", pattern="^(auto|json|console)$")
    """`console` for people, `json` for programs, `auto`: console on a terminal, else json."""

    @field_validator(
        *("repository", "home", "embedder", "api_keys_file", "host", "log_format"), mode="before"
    )
    @classmethod
    def _says_something(cls, value: object) -> object:
        """Refuse an empty text: as a folder it means the current one, as a host every address."""
        if isinstance(value, str) and (not value.strip() or value != value.strip()):
            raise ValueError("not empty, and without blanks around it: unset it for the default")
        return value

    @field_validator("repository", "home", "embedder", "api_keys_file")
    @classmethod
    def _absolute_path(cls, path: Path | None) -> Path | None:
        """Make a path absolute: child processes run in other folders."""
        try:
            return path and path.expanduser().resolve()
        except RuntimeError as error:  # an unknown ~user, or a circle of links
            raise ValueError(str(error)) from None

    @field_validator("database_url", "prefect_database_url", "mlflow_database_url")
    @classmethod
    def _usable_url(cls, url: SecretStr | None) -> SecretStr | None:
        return url and SecretStr(usable_url(url.get_secret_value()))

    @field_validator("bentos")
    @classmethod
    def _groups_have_ports(cls, bentos: str, info: ValidationInfo) -> str:
        port = info.data.get("service_port", 1)
        count = len(parse_groups(bentos))
        if port + count - 1 > LAST_PORT:
            raise ValueError(
                f"{count} groups need the ports from PERENNIAL_SERVICE_PORT ({port}) on, "
                f"and {LAST_PORT} is the last one"
            )
        return bentos

    @property
    def groups(self) -> tuple[Group, ...]:
        """Return which classifiers are served together; by default one group."""
        return parse_groups(self.bentos)

    @property
    def models(self) -> Path:
        """The model store: `<classifier>/<version>/` with the head and its reference rows."""
        return self.home / "models"

    @property
    def embedders(self) -> Path:
        """One folder per embedder_id, with the model and embedder.json."""
        return self.home / "embedders"

    def kept_embedder(self, embedder_id: str) -> Path | None:
        """Return the folder of a stored embedder; None without one, or for an unsafe id."""
        folder = self.embedders / embedder_id
        return folder if is_plain_name(embedder_id) and folder.is_dir() else None

    @property
    def journal(self) -> Path:
        """Rows that wait for the database, in one folder per group."""
        return self.home / f"journal{self._group_suffix}"

    @property
    def journals(self) -> list[Path]:
        """Return the journals of all groups, also of groups that no longer exist."""
        return [
            folder
            for folder in sorted(self.home.glob("journal*"))
            if re.fullmatch(r"journal(-\d+)?", folder.name)
        ]

    @property
    def caches(self) -> Path:
        """The contents of the two caches, for the next start, in one folder per group."""
        return self.home / f"caches{self._group_suffix}"

    @property
    def _group_suffix(self) -> str:
        return "" if self.bento == 1 else f"-{self.bento}"

    @property
    def reports(self) -> Path:
        """Drift reports and other pages."""
        return self.home / "reports"

    @property
    def service_url(self) -> str:
        """Address of the first group's service."""
        return self.group_url(1)

    def group_url(self, number: int) -> str:
        """Return the address of a group: groups take the ports from `service_port` on."""
        return f"http://{self.host}:{self.service_port + number - 1}"

    def url_of(self, classifier: str) -> str:
        """Return the address at which a classifier answers."""
        return self.group_url(group_of(self.groups, classifier).number)

    @property
    def prefect_url(self) -> str:
        return f"http://{self.host}:{self.prefect_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{self.host}:{self.mlflow_port}"

    @property
    def evidently_url(self) -> str:
        return f"http://{self.host}:{self.evidently_port}"

    @property
    def console_url(self) -> str:
        return f"http://{self.host}:{self.console_port}"


def load_settings(**overrides: object) -> Settings:
    """Read the environment; an argument wins over its variable. Raises `SettingsError`."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks the values
    except ValidationError as error:
        first = error.errors()[0]
        name = _variable(first["loc"])
        wanted = f"a valid value of {name}"
        problem = first["msg"].removeprefix("Value error, ")
        shown = f"an invalid one ({problem})"
        if first["type"].endswith(PLAIN_TYPES):
            wanted = f"{name} to be {problem.removeprefix(INPUT_SHOULD_BE).partition(',')[0]}"
            shown = repr(first["input"])
        do = f"correct {name} in the environment"
        raise SettingsError(wanted, came=shown, do=do) from None


def settings_environment(
    settings: Settings, *, without: Collection[str] = (), **overrides: object
) -> dict[str, str]:
    """Return the `PERENNIAL_*` variables that give a child process the same settings.

    `overrides` replace fields by name. A field that is None or named in `without` gets no variable.
    Secrets are in plain text.
    """
    values = {name: getattr(settings, name) for name in type(settings).model_fields} | overrides
    kept = {
        name: value
        for name, value in values.items()
        if value is not None and name not in without and name != "sources"
    }
    variables = {f"PERENNIAL_{name.upper()}": _plain(value) for name, value in kept.items()}
    sources = {} if "sources" in without else settings.sources
    return variables | {source_variable(name): _plain(url) for name, url in sources.items()}


def _variable(location: tuple[int | str, ...]) -> str:
    """Return the variable of a field, or of one named source."""
    if location[0] == "sources" and len(location) > 1:
        return source_variable(str(location[1]))
    return "PERENNIAL_" + "_".join(str(part) for part in location).upper()


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

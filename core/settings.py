"""The environment (`PERENNIAL_*`): what changes the place, never the model."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryFile

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.contracts import is_plain_name
from core.errors import NO_ROOM, SettingsError
from core.groups import Group, group_of, parse_groups

_URL = re.compile(r"^[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://")
_RELATIVE_FILE = re.compile(
    r"^(?P<scheme>(?:sqlite|duckdb)(?:\+[a-z0-9_]+)?):///(?P<file>[^/:].*)$"
)
REPOSITORY = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Every setting has a default that works on one machine, offline.

    Ports are bound on `host`, which is loopback unless told otherwise.
    """

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", frozen=True, extra="ignore")

    repository: Path = Field(REPOSITORY, description="the git checkout that retrainings clone")
    home: Path = Field(
        REPOSITORY / "var",
        description="everything made at run time: database, models, journal, reports",
    )
    database_url: SecretStr | None = Field(
        None, description="your own PostgreSQL; an embedded one under home by default"
    )
    prefect_database_url: SecretStr | None = None
    mlflow_database_url: SecretStr | None = None
    source_url: SecretStr | None = Field(
        None, description="any SQLAlchemy URL; the demo source by default"
    )
    host: str = "127.0.0.1"
    service_port: int = Field(3000, ge=1, le=65535)
    prefect_port: int = Field(4200, ge=1, le=65535)
    mlflow_port: int = Field(5000, ge=1, le=65535)
    evidently_port: int = Field(8000, ge=1, le=65535)
    embedder: Path = Field(
        REPOSITORY / "build" / "embedder",
        description="the model and embedder.json; a bento packs its own",
    )
    cache_phrases: int = Field(50_000, ge=1, description="embeddings kept by the Embedder service")
    cache_answers: int = Field(20_000, ge=1, description="answers kept by the Classifier service")
    journal_mb: int = Field(
        1024,
        ge=16,
        description="answers that may wait for the database; beyond it new rows are dropped and counted",
    )
    journal_sync: bool = Field(
        True,
        description="false: an answer leaves when its row is the kernel's, not the disk's; a power cut may cost rows",
    )
    keep_months: int = Field(
        36, ge=1, description="full months of the inference log that are kept; corrected rows stay"
    )
    answer_seconds: float = Field(
        3.0, gt=0, description="what a request waits for the embedder at most before it hears 503"
    )
    warm_phrases: int = Field(
        2_000,
        ge=0,
        description="phrases a classifier answered once before a version takes traffic; 0: none",
    )
    warm_seconds: float = Field(
        5.0,
        ge=0,
        description="what warming may take at most; readiness, and a new version, wait for it",
    )
    bentos: str = Field(
        "", description="groups that are served apart, such as `chapter,block;encounter_phase`"
    )
    bento: int = Field(
        1,
        ge=1,
        description="the group that this process serves; `perennial serve` sets it for each",
    )
    api_keys_file: Path | None = Field(
        None, description="SHA-256 of an API key a line; needed when host is not loopback"
    )
    poll_seconds: float = Field(
        1.0, gt=0, description="how often the service looks at `deployment`"
    )
    stage_seconds: float = Field(
        6 * 3600.0, gt=0, description="the longest that one call of DVC may take in a retraining"
    )
    schedules: bool = Field(
        True, description="false keeps the deployments but pauses their schedules"
    )
    log_format: str = Field("auto", pattern="^(auto|json|console)$")

    @field_validator("repository", "home", "embedder", "api_keys_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Children run in other folders."""
        try:
            return path and path.expanduser().resolve()
        except RuntimeError as error:  # ~nobody, or links in a circle
            raise ValueError(str(error)) from None

    @field_validator("database_url", "prefect_database_url", "mlflow_database_url", "source_url")
    @classmethod
    def _url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _URL.match(url.get_secret_value()):
            raise ValueError(
                "a URL is wanted, such as postgresql://user@host/name; what came is not shown"
            )
        return url

    @field_validator("source_url")
    @classmethod
    def _absolute_file(cls, url: SecretStr | None) -> SecretStr | None:
        """`sqlite:///rows.db` is a file of this folder; flows that start elsewhere find it too."""
        found = _RELATIVE_FILE.match(url.get_secret_value()) if url else None
        return SecretStr(f"{found['scheme']}:///{Path(found['file']).resolve()}") if found else url

    @field_validator("bentos")
    @classmethod
    def _groups(cls, bentos: str, info: ValidationInfo) -> str:
        port, count = info.data.get("service_port", 1), len(parse_groups(bentos))
        if port + count - 1 > 65535:
            raise ValueError(
                f"{count} groups take the ports from PERENNIAL_SERVICE_PORT on, {port}, and 65535 is the last"
            )
        return bentos

    @property
    def groups(self) -> tuple[Group, ...]:
        """Which classifiers are served together; one group unless told otherwise."""
        return parse_groups(self.bentos)

    @property
    def models(self) -> Path:
        """The model store: `<classifier>/<version>/` with head and reference rows."""
        return self.home / "models"

    @property
    def embedders(self) -> Path:
        """One folder an embedder_id: the model and embedder.json."""
        return self.home / "embedders"

    def kept_embedder(self, embedder_id: str) -> Path | None:
        """Where an embedder is kept; None when it is not, or when its id is no plain name."""
        folder = self.embedders / embedder_id
        return folder if is_plain_name(embedder_id) and folder.is_dir() else None

    @property
    def journal(self) -> Path:
        """Rows that wait for the database; each group writes its own."""
        return self.home / f"journal{self._apart}"

    @property
    def journals(self) -> list[Path]:
        """Those of all groups, also of groups that are no more."""
        return [
            folder
            for folder in sorted(self.home.glob("journal*"))
            if re.fullmatch(r"journal(-\d+)?", folder.name)
        ]

    @property
    def caches(self) -> Path:
        """What the two cache levels held, for the next start."""
        return self.home / f"caches{self._apart}"

    @property
    def _apart(self) -> str:
        return "" if self.bento == 1 else f"-{self.bento}"

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def service_url(self) -> str:
        return self.group_url(1)

    def group_url(self, number: int) -> str:
        """Where a group is served: the first on the service's port, the others on the next ones."""
        return f"http://{self.host}:{self.service_port + number - 1}"

    def url_of(self, classifier: str) -> str:
        """Where a classifier answers."""
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


def load_settings(**overrides: object) -> Settings:
    """Read the environment once; raise `SettingsError` naming the variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "PERENNIAL_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(
            f"{name} to be usable", came=first["msg"], do=f"correct {name} in the environment"
        ) from None


def settings_environment(
    settings: Settings, *, without: Collection[str] = (), **overrides: object
) -> dict[str, str]:
    """Return the `PERENNIAL_*` variables that give a child process the same settings.

    `overrides` replace fields by name. A field that is None or named in `without` gets no variable.
    Secrets are in plain text.
    """
    values = {name: getattr(settings, name) for name in type(settings).model_fields} | overrides
    return {
        f"PERENNIAL_{name.upper()}": _plain(value)
        for name, value in values.items()
        if value is not None and name not in without
    }


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def require_home(settings: Settings) -> Path:
    """Make the home and return it. Raises `SettingsError` when nothing can be written there; a full disk is an OSError, as elsewhere."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=settings.home):
            return settings.home
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        wanted, came = (
            "PERENNIAL_HOME to be a folder that can be written",
            f"{settings.home}: {error.strerror}",
        )
        raise SettingsError(
            wanted,
            came=came,
            do="correct PERENNIAL_HOME in the environment, or the rights of that folder",
        ) from None

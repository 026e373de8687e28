"""How a bento is served: with every setting, and only with the secrets that it needs."""

from __future__ import annotations

from pathlib import Path

from bentos.packaging.package import WITHHELD, serve_command
from core.settings import Settings, load_settings

SECRETS = {
    "database_url": "postgresql://me:hunter2@db/mine",
    "source_url": "postgresql://me:hunter2@db/source",
    "prefect_database_url": "postgresql://me:hunter2@db/prefect",
    "mlflow_database_url": "postgresql://me:hunter2@db/mlflow",
}
DATABASE_URL = "postgresql://db/perennial"


def environment_of(settings: Settings, inherited: dict[str, str]) -> dict[str, str]:
    command = serve_command("perennial:1", settings=settings, database_url=DATABASE_URL)
    assert "hunter2" not in " ".join(command.argv)
    return command.child_environment(inherited)


def test_the_service_gets_every_setting_but_the_withheld_ones(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, **SECRETS)
    environment = environment_of(settings, {})
    given = {name for name in Settings.model_fields if f"PERENNIAL_{name.upper()}" in environment}
    unset = {name for name in Settings.model_fields if getattr(settings, name) is None}
    assert Settings.model_fields.keys() - given == {*WITHHELD, *unset}
    assert environment["PERENNIAL_JOURNAL_MB"] == "1024"
    assert environment["PERENNIAL_JOURNAL_SYNC"] == "True"


def test_no_secret_but_its_own_database_reaches_the_service(tmp_path: Path) -> None:
    inherited = {f"PERENNIAL_{name.upper()}": url for name, url in SECRETS.items()}
    inherited["PERENNIAL_SOURCE_TICKETS_URL"] = "postgresql://me:hunter2@db/tickets"
    settings = load_settings(home=tmp_path, **SECRETS)
    environment = environment_of(settings, {"PATH": "/bin", **inherited})
    assert environment["PERENNIAL_DATABASE_URL"] == DATABASE_URL
    assert environment["PATH"] == "/bin"
    assert not [name for name, value in environment.items() if "hunter2" in value]

"""The environment: usable defaults, wrong values named, paths that hold in every folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import SettingsError
from core.home import require_home
from core.settings import REPOSITORY, load_settings, settings_environment


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PERENNIAL_")]:
        monkeypatch.delenv(name)


WRONG = [
    ("PERENNIAL_SERVICE_PORT", "0"),
    ("PERENNIAL_SERVICE_PORT", "web"),
    ("PERENNIAL_PREFECT_PORT", "65536"),
    ("PERENNIAL_MLFLOW_PORT", ""),
    ("PERENNIAL_EVIDENTLY_PORT", "80.5"),
    ("PERENNIAL_CACHE_PHRASES", "0"),
    ("PERENNIAL_CACHE_ANSWERS", "many"),
    ("PERENNIAL_POLL_SECONDS", "0"),
    ("PERENNIAL_SCHEDULES", "perhaps"),
    ("PERENNIAL_LOG_FORMAT", "xml"),
    ("PERENNIAL_LOG_FORMAT", "jsonl"),
    ("PERENNIAL_HOST", ""),
    ("PERENNIAL_HOST", " "),
    ("PERENNIAL_HOST", "127.0.0.1 "),
    ("PERENNIAL_HOME", ""),
    ("PERENNIAL_HOME", "  "),
    ("PERENNIAL_REPOSITORY", ""),
    ("PERENNIAL_API_KEYS_FILE", ""),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert name in caught.value.wanted
    assert name in caught.value.do
    assert caught.value.retryable is False


@pytest.mark.parametrize("name", ["DATABASE_URL", "PREFECT_DATABASE_URL", "MLFLOW_DATABASE_URL"])
def test_an_address_that_is_none_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"PERENNIAL_{name}", "no address")
    with pytest.raises(SettingsError, match=f"PERENNIAL_{name}"):
        load_settings()


URLS = ["database_url", "prefect_database_url", "mlflow_database_url", "source_url"]


@pytest.mark.parametrize("name", URLS)
def test_postgres_is_written_postgresql(name: str) -> None:
    url = getattr(load_settings(**{name: "postgres://me:p%40ss@host/db"}), name)
    assert url.get_secret_value() == "postgresql://me:p%40ss@host/db"


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize("url", ["postgresql://me:pa@hush@host/db", "postgresql://me:a@b:hush/db"])
def test_nothing_of_a_url_with_a_plain_at_sign_is_shown(name: str, url: str) -> None:
    with pytest.raises(SettingsError, match="not shown") as caught:
        load_settings(**{name: url})
    assert "hush" not in str(caught.value) and "%40" in str(caught.value)


def test_a_bare_environment_is_one_machine_offline() -> None:
    settings = load_settings()
    assert (settings.repository, settings.home) == (REPOSITORY, REPOSITORY / "var")
    assert (settings.database_url, settings.source_url) == (None, None)
    urls = (
        settings.service_url,
        settings.prefect_url,
        settings.mlflow_url,
        settings.evidently_url,
        settings.console_url,
    )
    assert urls == tuple(f"http://127.0.0.1:{port}" for port in (3000, 4200, 5000, 8000, 8500))


def test_the_environment_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_PORT", "5001")
    monkeypatch.setenv("PERENNIAL_SCHEDULES", "false")
    assert (load_settings().mlflow_url, load_settings().schedules) == (
        "http://127.0.0.1:5001",
        False,
    )
    monkeypatch.delenv("PERENNIAL_MLFLOW_PORT")
    assert load_settings().mlflow_port == 5000


def test_an_argument_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_SERVICE_PORT", "3001")
    assert load_settings(service_port=3002).service_port == 3002


@pytest.mark.parametrize("name", ["home", "repository", "embedder"])
def test_a_relative_folder_becomes_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"PERENNIAL_{name.upper()}", "here/../place")
    assert getattr(load_settings(), name) == tmp_path.resolve() / "place"


def test_a_relative_home_holds_after_a_change_of_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERENNIAL_HOME", "place")
    settings = load_settings()
    monkeypatch.chdir(tmp_path / "elsewhere")
    rooms = (settings.models, settings.embedders, settings.journal, settings.reports)
    assert [room.parent for room in rooms] == [tmp_path.resolve() / "place"] * 4
    assert len(set(rooms)) == 4


def test_a_home_of_the_user_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_HOME", "~/place")
    assert load_settings().home == tmp_path.resolve() / "place"


@pytest.mark.parametrize("home", ["~nobody-of-this-name/place", "circle/place"])
def test_a_home_that_leads_nowhere_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("circle").symlink_to("circle")
    monkeypatch.setenv("PERENNIAL_HOME", home)
    with pytest.raises(SettingsError, match="PERENNIAL_HOME"):
        require_home(load_settings())


def test_a_home_is_made_and_left_empty(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "a" / "b")
    assert [*require_home(settings).iterdir()] == []
    assert require_home(settings) == tmp_path / "a" / "b"


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        load_settings().home = Path("/elsewhere")  # type: ignore[misc]


@pytest.mark.parametrize(
    "name", ["database_url", "prefect_database_url", "mlflow_database_url", "source_url"]
)
def test_an_address_never_shows_its_password(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"PERENNIAL_{name.upper()}", "postgresql://u:sEcr3t@h/d")
    settings = load_settings()
    assert getattr(settings, name).get_secret_value() == "postgresql://u:sEcr3t@h/d"
    assert (
        "sEcr3t"
        not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    )


def test_a_wrong_value_beside_an_address_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", "postgresql://u:sEcr3t@h/d")
    monkeypatch.setenv("PERENNIAL_SERVICE_PORT", "web")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "sEcr3t" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite", "duckdb"])
def test_a_source_in_this_folder_is_found_from_every_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = load_settings(source_url=f"{scheme}:///rows.db").source_url
    absolute = load_settings(source_url=f"{scheme}:///{tmp_path}/rows.db").source_url
    assert (
        relative == absolute
        and relative is not None
        and relative.get_secret_value() == f"{scheme}:///{tmp_path}/rows.db"
    )


@pytest.mark.parametrize(
    "url", ["sqlite:///:memory:", "sqlite:////var/rows.db", "postgresql://me@host/rows"]
)
def test_other_sources_stay_as_they_are(url: str) -> None:
    source = load_settings(source_url=url).source_url
    assert source is not None and source.get_secret_value() == url


def test_a_child_has_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings(
        home=tmp_path, source_url="sqlite:////rows.db", journal_sync=False, journal_mb=64
    )
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_fields_are_replaced_or_left_out(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, source_url="sqlite:////rows.db")
    environment = settings_environment(settings, without=["source_url"], bento=2)
    assert environment["PERENNIAL_BENTO"] == "2"
    assert not {"PERENNIAL_SOURCE_URL", "PERENNIAL_DATABASE_URL"} & environment.keys()


def test_a_source_that_is_a_file_is_found_from_every_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("tickets.csv", "./tickets.csv", "~/tickets.csv", f"{tmp_path}/tickets.csv"):
        source = load_settings(source_url=given).source_url
        assert source is not None
        assert source.get_secret_value() == str(tmp_path.resolve() / "tickets.csv")


@pytest.mark.parametrize("name", ["PERENNIAL_SOURCE_URL", "PERENNIAL_SOURCE_TICKETS_URL"])
@pytest.mark.parametrize("value", ["", "u:sEcr3t@h/d"])
def test_a_source_that_is_neither_url_nor_path_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"correct {name}") as caught:
        load_settings()
    assert "sEcr3t" not in str(caught.value)


def test_named_sources_are_read_and_handed_to_children_but_not_to_the_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERENNIAL_SOURCE_TICKETS_URL", "postgresql://u:sEcr3t@h/d")
    monkeypatch.setenv("PERENNIAL_SOURCE_OLD_TICKETS_URL", "tickets.csv")
    settings = load_settings()
    addresses = {name: url.get_secret_value() for name, url in settings.sources.items()}
    assert addresses == {
        "tickets": "postgresql://u:sEcr3t@h/d",
        "old_tickets": f"{tmp_path.resolve()}/tickets.csv",
    }
    assert "sEcr3t" not in f"{settings!r} {settings.model_dump()}"
    handed = settings_environment(settings)
    assert handed["PERENNIAL_SOURCE_TICKETS_URL"] == "postgresql://u:sEcr3t@h/d"
    assert "SOURCE" not in " ".join(settings_environment(settings, without=["sources"]))

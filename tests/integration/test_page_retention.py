"""Pages of old calm windows go, with their runs in Evidently's workspace; alarms keep theirs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.tables.loop import drift_report
from monitoring.windows.evidently_report import Headline, describe, report_name, write_report
from monitoring.windows.page_retention import remove_old_pages
from monitoring.windows.reports import DriftReport, store_reports
from tests.support.traffic import traffic

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def two_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.windows.page_retention.KEPT", 2)


def write(engine: Engine, reports: Path, *, alarmed: set[int], windows: int = 5) -> None:
    for number in range(1, windows + 1):
        page = reports / f"window-{number}.html"
        reports.mkdir(exist_ok=True)
        for suffix in (".html", ".json", ".png"):
            page.with_suffix(suffix).write_text("page")
        alarms = ("embeddings",) if number in alarmed else ()
        report = DriftReport("1", number, NOW, NOW, None, 500, {}, alarms, "steady", str(page))
        with engine.begin() as connection:
            store_reports(connection, [report], classifier="topic", reported_at=NOW)


def left(reports: Path) -> set[str]:
    return {page.name for page in reports.iterdir() if page.is_file()}


def test_alarms_and_the_newest_windows_keep_their_pages(engine: Engine, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    write(engine, reports, alarmed={2})
    with engine.connect() as connection:
        assert remove_old_pages(connection, "topic", reports=reports) == 2
        assert remove_old_pages(connection, "topic", reports=reports) == 0
        assert connection.scalar(sa.select(sa.func.count()).select_from(drift_report)) == 5
    assert left(reports) == {
        f"window-{number}{suffix}" for number in (2, 4, 5) for suffix in (".html", ".json", ".png")
    }


def test_files_of_another_folder_are_left_alone(engine: Engine, tmp_path: Path) -> None:
    write(engine, tmp_path / "elsewhere", alarmed=set())
    with engine.connect() as connection:
        assert remove_old_pages(connection, "topic", reports=tmp_path / "reports") == 0


def test_the_run_of_the_workspace_goes_too(engine: Engine, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    write(engine, reports, alarmed=set(), windows=3)
    rows = traffic(days=2, seed=1)
    described = describe(rows, novelty=[0.2] * len(rows))
    headline = Headline("topic", "1", 1, NOW, "steady", ())
    assert headline.name == report_name("topic", "1", 1)
    write_report(
        described,
        described,
        headline=headline,
        file=reports / "window-1.html",
        workspace=reports / "evidently",
    )
    [run] = (reports / "evidently").glob("*/snapshots/*.json")
    with engine.connect() as connection:
        assert remove_old_pages(connection, "topic", reports=reports) == 1
    assert not run.exists()

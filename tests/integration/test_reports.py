import asyncio
import json
import os
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from evidently.ui.service.storage.local.base import InMemoryDataStorage, LocalState, SeriesFilter

from machine.health import misses_reports
from machine.local_http import answers
from machine.programs import evidently_workspace, list_programs
from monitoring.windows.charts import draw_statistics
from monitoring.windows.dashboard import PANELS
from monitoring.windows.evidently_report import (
    LABELS_NAMED,
    OTHER_LABELS,
    Headline,
    describe,
    write_report,
)
from monitoring.windows.statistics import STATISTICS
from tests.support.places import own_place
from tests.support.processes import Started, wait_for
from tests.support.traffic import traffic

HEADLINE = Headline(
    "topic",
    "3",
    4,
    datetime(2026, 2, 1, tzinfo=UTC),
    "warning",
    ("embeddings <far> from the past",),
    {name: {"value": 0.3, "z": 5.5, "limit": 4.25} for name in STATISTICS},
)


def described(rows: pd.DataFrame) -> pd.DataFrame:
    return describe(rows, novelty=[0.2] * len(rows))


def test_a_label_and_a_region_missing_from_the_reference_do_no_harm(tmp_path: Path) -> None:
    rows = traffic(days=4, seed=1)
    reference = rows[rows["label"] != "label00"].assign(region=None)
    write_report(
        described(rows),
        described(reference),
        headline=HEADLINE,
        file=tmp_path / "window.html",
        workspace=tmp_path / "workspace",
    )
    metrics = {
        metric["metric_name"]: metric["value"]
        for metric in json.loads((tmp_path / "window.json").read_text())["metrics"]
    }
    drift = next(
        value for name, value in metrics.items() if name.startswith("ValueDrift(column=label")
    )
    assert drift > 0.2
    assert next(value for name, value in metrics.items() if name.startswith("RowCount")) == len(
        rows
    )


def test_the_page_stands_alone_and_opens_with_our_verdict(tmp_path: Path) -> None:
    page = written(tmp_path).read_text()
    assert not re.findall(
        r"<(?:script|img|iframe)[^>]+src=[\"']?http|<link[^>]+href=[\"']?http", page
    )
    assert not re.findall(r"@import (?:url\()?[\"']?http|url\([\"']?http", page)
    assert "topic 3 window 4: warning" in page
    assert "embeddings &lt;far&gt; from the past" in page


def test_the_workspace_holds_one_run_a_window_however_often_it_is_written(tmp_path: Path) -> None:
    written(tmp_path)
    written(tmp_path)
    [project] = [
        folder
        for folder in (tmp_path / "workspace").iterdir()
        if (folder / "metadata.json").is_file()
    ]
    assert len(list((project / "snapshots").glob("*.json"))) == 1
    assert json.loads((project / "metadata.json").read_text())["name"] == "topic"
    panels = json.loads((project / "dashboard.json").read_text())["panels"]
    assert [panel["title"] for panel in panels] == list(PANELS)


def test_panels_of_an_earlier_release_are_replaced(tmp_path: Path) -> None:
    written(tmp_path)
    [file] = (tmp_path / "workspace").glob("*/dashboard.json")
    file.write_text(json.dumps({"tabs": [], "panels": []}))
    written(tmp_path)
    panels = json.loads(file.read_text())["panels"]
    assert [panel["title"] for panel in panels] == list(PANELS)


def test_the_panels_plot_six_statistics_their_limit_and_labels_by_name(tmp_path: Path) -> None:
    """Read as Evidently's page reads them; an empty panel would be a mistyped column."""
    written(tmp_path)
    [project] = LocalState.load(str(tmp_path / "workspace"), None).projects
    storage = InMemoryDataStorage(str(tmp_path / "workspace"))
    plotted: dict[str, list[Any]] = {}
    for title, lines in PANELS.items():
        filters = [
            SeriesFilter(
                tags=[],
                metadata={},
                metric=f"evidently:metric_v2:{metric}",
                metric_labels=labels,
            )
            for _, metric, labels in lines
        ]
        found = asyncio.run(storage.get_data_series(project, filters, None, None)).series
        assert {series.filter_index for series in found} == set(range(len(lines))), title
        plotted[title] = found

    statistics, labels, *_, unsure = plotted.values()
    heights = {series.params["column"]: series.values for series in statistics}
    assert heights == {**{f"z_{name}": [5.5] for name in STATISTICS}, "limit": [4.25]}
    shares = {series.params["label"]: series.values[0] for series in labels}
    assert len(shares) == LABELS_NAMED + 1
    assert OTHER_LABELS in shares
    assert sum(shares.values()) == pytest.approx(1.0)
    assert len(unsure) == 1


def test_a_label_that_only_the_window_has_is_named_when_it_is_large(tmp_path: Path) -> None:
    rows = described(traffic(days=3, seed=2))
    write_report(
        rows.assign(label="new"),
        rows,
        headline=HEADLINE,
        file=tmp_path / "w.html",
        workspace=tmp_path / "workspace",
    )
    metrics = json.loads((tmp_path / "w.json").read_text())["metrics"]
    [counts] = [row for row in metrics if row["metric_name"].startswith("UniqueValueCount")]
    assert counts["value"]["shares"]["new"] == 1.0


def test_without_a_reference_the_window_is_described_alone(tmp_path: Path) -> None:
    write_report(
        described(traffic(days=2, seed=1)),
        None,
        headline=HEADLINE,
        file=tmp_path / "w.html",
        workspace=tmp_path / "workspace",
    )
    assert "ValueDrift" not in (tmp_path / "w.json").read_text()


def test_a_page_that_was_open_before_the_first_report_shows_it(tmp_path: Path) -> None:
    """And `status` asks for the newest report, because a page may answer and see nothing."""
    settings = own_place(tmp_path / "home")
    workspace = evidently_workspace(settings)
    workspace.mkdir(parents=True)
    [evidently] = [row for row in list_programs(settings) if row.name == "evidently"]
    with Started({**os.environ}, *evidently.argv[2:]):
        wait_for(
            lambda: answers(f"{settings.evidently_url}/api/version"),
            seconds=120,
            what="Evidently answers",
        )
        assert not misses_reports(settings), "there is no report yet"
        written(tmp_path, workspace=workspace)
        for file in workspace.glob("*/snapshots/*.json"):
            os.utime(file, (0, 0))
        wait_for(lambda: not misses_reports(settings), seconds=30, what="the page shows the report")
        assert [folder.name for folder in workspace.parent.iterdir()] == [workspace.name]

        [known] = workspace.glob("*/snapshots/*.json")
        unseen = known.parents[2] / str(uuid.uuid4()) / "snapshots" / known.name
        unseen.parent.mkdir(parents=True)
        unseen.write_bytes(known.read_bytes())
        os.utime(unseen, (1, 1))
        assert misses_reports(settings)


@pytest.mark.parametrize("height", [0.5, 50.0, float("nan")])
def test_the_plot_takes_any_height(tmp_path: Path, height: float) -> None:
    draw_statistics(
        [(1, dict.fromkeys(STATISTICS, height)), (2, {})],
        title="topic",
        file=tmp_path / "plot.png",
        limit=4.2,
    )
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def written(folder: Path, *, workspace: Path | None = None) -> Path:
    rows = described(traffic(days=3, seed=2))
    write_report(
        rows,
        rows.head(100),
        headline=HEADLINE,
        file=folder / "window.html",
        workspace=workspace or folder / "workspace",
    )
    return folder / "window.html"

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from monitoring.charts import draw_statistics
from monitoring.reports import Headline, describe, write_report
from monitoring.statistics import STATISTICS
from tests.support.traffic import traffic

HEADLINE = Headline(
    "topic",
    "3",
    4,
    datetime(2026, 2, 1, tzinfo=UTC),
    "warning",
    ("embeddings <far> from the past",),
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
    told = {
        metric["metric_name"]: metric["value"]
        for metric in json.loads((tmp_path / "window.json").read_text())["metrics"]
    }
    drift = next(
        value for name, value in told.items() if name.startswith("ValueDrift(column=label")
    )
    assert drift > 0.2
    assert next(value for name, value in told.items() if name.startswith("RowCount")) == len(rows)


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
    assert "Distance from the reference" in (project / "dashboard.json").read_text()


def test_without_a_reference_the_window_is_described_alone(tmp_path: Path) -> None:
    write_report(
        described(traffic(days=2, seed=1)),
        None,
        headline=HEADLINE,
        file=tmp_path / "w.html",
        workspace=tmp_path / "workspace",
    )
    assert "ValueDrift" not in (tmp_path / "w.json").read_text()


@pytest.mark.parametrize("height", [0.5, 50.0, float("nan")])
def test_the_plot_takes_any_height(tmp_path: Path, height: float) -> None:
    draw_statistics(
        [(1, dict.fromkeys(STATISTICS, height)), (2, {})], title="topic", file=tmp_path / "plot.png"
    )
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def written(folder: Path) -> Path:
    rows = described(traffic(days=3, seed=2))
    write_report(
        rows,
        rows.head(100),
        headline=HEADLINE,
        file=folder / "window.html",
        workspace=folder / "workspace",
    )
    return folder / "window.html"

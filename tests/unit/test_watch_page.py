"""What a watch shows, and what its event carries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.contracts import Verdict
from flows.pages.watch import MEANING, render_page
from monitoring.drift.payloads import LARGEST_EVIDENCE, drift_payload
from monitoring.windows.evidently_report import report_page
from monitoring.windows.statistics import STATISTICS

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def report(number: int, file: Path, **changed: Any) -> dict[str, Any]:
    statistics = {"labels": {"value": 0.2, "z": 4.512}, "novelty": {"value": 0.5, "z": -0.25}}
    row = {
        "version": "3",
        "window_number": number,
        "window_start": NOW,
        "window_end": NOW,
        "rows": 2000,
        "statistics": statistics,
    }
    return row | {"alarms": ["labels"], "verdict": "drift", "report": str(file)} | changed


def test_the_page_shows_reasons_scores_alarms_and_the_plot(tmp_path: Path) -> None:
    file = tmp_path / "window-2.html"
    file.with_suffix(".png").write_bytes(b"png")
    verdict = Verdict("drift", ("labels alarmed twice",))
    page = render_page(
        "block",
        verdict,
        [report(2, file), report(1, file, statistics={}, alarms=[])],
        evidently_url="http://x:1",
    )
    assert page.startswith("# block: drift")
    assert "- labels alarmed twice" in page
    assert (
        "| 2 | 2026-03-01 00:00 | 2026-03-01 00:00 | 2000 | drift | 4.51 | -0.25 |  | labels |"
        in page
    )
    assert "| drift |  |  |  | none |" in page
    assert "data:image/png;base64,cG5n" in page
    assert f"(http://x:1{report_page('block', 'block 3 window 2')})" in page
    assert f"report: `{file}`" in page


def test_the_page_shows_which_share_of_a_window_was_refused(tmp_path: Path) -> None:
    refused = report(2, tmp_path / "w.html", evidence={"abstained_share": 0.0312})
    page = render_page("block", Verdict("drift"), [refused], evidently_url="http://x:1")
    assert "| z of novelty | none of these | alarms |" in page
    assert "| -0.25 | 3.1% | labels |" in page


def test_the_page_sets_each_statistic_against_its_limit(tmp_path: Path) -> None:
    statistics = {
        "label_shares": {"value": 0.2134, "z": 5.5, "limit": 4.21},
        "novelty_mean": {"value": 0.4, "z": -0.25, "limit": 4.21},
    }
    newest = report(7, tmp_path / "w.html", statistics=statistics, alarms=["label_shares"])
    unjudged = report(8, tmp_path / "v.html", statistics={}, alarms=[])
    page = render_page("block", Verdict("drift"), [unjudged, newest], evidently_url="http://x:1")
    assert "## Window 7 against its limit" in page
    shares = "| label_shares | shares of the labels answered | 0.2134 | 5.50 | 4.21 | **alarm** |"
    assert shares in page
    assert "| 0.4000 | -0.25 | 4.21 |  |" in page


def test_windows_of_earlier_releases_have_no_limit(tmp_path: Path) -> None:
    page = render_page("b", Verdict("drift"), [report(2, tmp_path / "w.html")], evidently_url="x")
    assert "| labels |  | 0.2000 | 4.51 |  | **alarm** |" in page


def test_the_page_shows_what_moved_and_the_phrases_nobody_knew() -> None:
    verdict = Verdict(
        "drift",
        (),
        {
            "moved_labels": [{"label": "J00", "before": 0.05, "now": 0.125}],
            "novel_phrases": [{"phrase": "a|`b`", "label": "J00", "novelty": 0.913, "rows": 4}],
        },
    )
    page = render_page("block", verdict, [], evidently_url="x")
    assert "| `J00` | 5.0% | 12.5% | +7.5 |" in page
    assert "| `a/'b'` | `J00` | 0.91 | 4 |" in page


def test_every_statistic_is_explained() -> None:
    assert set(MEANING) == set(STATISTICS)


def test_a_watch_before_the_first_window_has_a_page_too() -> None:
    assert (
        render_page("block", Verdict("insufficient", ("no window",)), [], evidently_url="x")
        == "# block: insufficient\n\n- no window"
    )


def test_the_event_carries_the_moment_and_small_evidence_only() -> None:
    small = drift_payload(Verdict("drift", ("why",), {"z": 4.5, "at": NOW}), now=NOW)
    large = drift_payload(Verdict("drift", ("why",), {"rows": ["x" * 100] * 1000}), now=NOW)
    assert small == {
        "now": "2026-03-01T00:00:00+00:00",
        "evidence": {"reasons": ["why"], "z": 4.5, "at": str(NOW)},
    }
    assert large["evidence"] == {"reasons": ["why"]}
    assert len(json.dumps(large)) < LARGEST_EVIDENCE


def test_the_page_names_the_phrases_that_need_labels() -> None:
    requests = [{"phrase": "a|`b`", "label": "eye", "rows": 12}]
    verdict = Verdict("needs_labels", ("no labels",), {"label_requests": requests})
    page = render_page("block", verdict, [], evidently_url="http://x:1")
    assert "## Labels that would help most" in page
    assert "| `a/'b'` | `eye` | 12 |" in page


def test_phrases_of_clients_stay_out_of_the_event() -> None:
    evidence = {name: ["a phrase"] for name in ("novel_phrases", "moved_phrases", "label_requests")}
    payload = drift_payload(Verdict("drift", (), {**evidence, "z": 4}), now=NOW)
    assert payload["evidence"] == {"reasons": [], "z": 4}

"""The error report: what it says of given answers, its page, and odd data."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from core.params.heads import MlpHead
from flows.candidates.error_report import render_summary
from pipelines.errors.champion import with_champion
from pipelines.errors.confusion import LONGEST_EXAMPLE, MOST_PAIRS
from pipelines.errors.files import PAGE, read_report, write_report
from pipelines.errors.gap import Part, measure_gap, parts_of
from pipelines.errors.page import render_page
from pipelines.errors.refits import Refits, fit_parts
from pipelines.errors.rows import AnsweredRows
from pipelines.errors.summary import summary_lines
from tests.support.error_reports import LOGISTIC, answered, report_of
from tests.support.training import training_rows

HTML = '<img src="http://other.host/x.png" onerror="alert(1)">'


MIXED = answered(
    [
        ("a1", "heart", "lung"),
        ("a1", "heart", "lung"),
        ("a2", "heart", "lung"),
        ("a3", "heart", "heart"),
        ("a4", "lung", "bone"),
        *[(f"b{number}", "bone", "bone") for number in range(5)],
    ]
)


def test_confused_pairs_have_their_shares_and_their_most_frequent_examples() -> None:
    first, second = report_of(MIXED)["confused"]
    assert (first["label"], first["predicted"], first["rows"], first["phrases"]) == (
        ("heart", "lung", 3, 2)
    )
    assert first["share"] == 0.75 and first["of_label"] == 0.75
    assert [(row["phrase"], row["rows"]) for row in first["examples"]] == [("a1", 2), ("a2", 1)]
    assert (second["label"], second["share"], second["of_label"]) == ("lung", 0.25, 1.0)


def test_every_label_has_scores_rows_and_examples() -> None:
    report = report_of(MIXED, trained={"heart": 40, "skin": 9})
    rows = {row["label"]: row for row in report["labels"]}
    assert list(rows) == ["bone", "heart", "lung", "skin"]
    heart = rows["heart"]
    assert (heart["precision"], heart["recall"], heart["support"]) == (1.0, 0.25, 4)
    assert heart["trained"] == 40 and heart["traffic"] == 0.4
    assert [row["predicted"] for row in heart["examples"]] == ["lung", "lung"]
    skin = rows["skin"]
    assert (skin["precision"], skin["recall"], skin["support"]) == (None, None, 0)
    assert rows["bone"]["precision"] == round(5 / 6, 6)


def test_the_worst_labels_are_those_that_cost_the_most_answers() -> None:
    """Lung is always wrong, yet rare in the traffic: heart costs more."""
    report = report_of(MIXED, traffic={"heart": 50, "lung": 10, "bone": 40})
    assert report["worst"] == ["heart", "lung"]
    lost = {row["label"]: row["lost"] for row in report["labels"]}
    assert lost["heart"] == pytest.approx(1000 * 0.5 * 0.75)
    assert lost["lung"] == pytest.approx(1000 * 0.1)


def test_the_change_since_the_champion_is_measured_on_the_same_rows() -> None:
    before = MIXED.truth.copy()
    before[:1] = "bone"
    report = with_champion(report_of(MIXED), MIXED, before, version="4")
    rows = {row["label"]: row for row in report["labels"]}
    assert rows["heart"]["change"]["recall"] == pytest.approx(0.25 - 0.75)
    assert rows["bone"]["change"]["precision"] == pytest.approx(0.0)
    champion = report["champion"]
    assert (champion["version"], champion["newly_wrong"], champion["newly_right"]) == ("4", 3, 0)
    assert champion["accuracy"] == 0.9
    assert {row["phrase"] for row in champion["examples"]} == {"a1", "a2", "a4"}
    page = render_page(report)
    assert "Since the champion, version 4" in page and "-50.0" in page


@cache
def logistic_refits() -> Refits:
    refits = fit_parts(LOGISTIC, training_rows(), embedder_id="e", seed=7)
    assert isinstance(refits, Refits)
    return refits


def full_report() -> dict[str, Any]:
    refits = logistic_refits()
    gap = {**measure_gap(parts_of(refits), limit=0.2), "share": 1.0}
    return report_of(MIXED, refits=refits, gap=gap)


def test_the_page_refers_to_nothing_outside_and_works_without_its_script() -> None:
    page = render_page(with_champion(full_report(), MIXED, MIXED.truth, version="1"))
    parser = References()
    parser.feed(page)
    assert parser.found == [] and parser.scripts == 1
    assert "url(" not in page and "@import" not in page
    assert "connect-src" not in page and "default-src 'none'" in page
    assert "<svg" in page and "10% more rows" in page
    without = page.partition("<script>")[0]
    assert all(f"<td>{label}</td>" in without for label in ("heart", "lung", "bone"))


class References(HTMLParser):
    """Collects whatever would be fetched, and handlers in attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.found += [tag] * (tag in ("link", "img", "iframe", "object", "embed", "base", "form"))
        for name, value in attrs:
            inside = name == "href" and (value or "").startswith("#")
            fetched = name in ("href", "src", "srcset", "action", "background", "xlink:href")
            if name.startswith("on") or (fetched and not inside):
                self.found.append(f"{name}={value}")


def test_labels_and_phrases_with_html_are_shown_as_text() -> None:
    rows = answered([(HTML, HTML, "b"), ("x", "b", HTML), *[("y", "b", "b")] * 3])
    report = with_champion(report_of(rows), rows, rows.truth, version="1")
    page = render_page(report)
    parser = References()
    parser.feed(page)
    assert parser.found == []
    assert "&lt;img src=" in page
    markdown = render_summary(report)
    assert "<img" not in markdown.replace("\\<", "")


def test_without_a_mistake_the_report_says_so() -> None:
    rows = answered([(f"n{number}", "a", "a") for number in range(40)])
    report = report_of(rows)
    assert report["confused"] == [] and report["worst"] == []
    assert summary_lines(report)[0] == "No mistake on 40 test rows of 40 phrases."
    page = render_page(report)
    assert "No test row is answered wrong." in page and "No label costs a wrong answer." in page


@pytest.mark.parametrize(
    "rows",
    [
        answered([("n", "alone", "other")]),
        answered([(f"n{number}", "only", "only") for number in range(50)]),
        answered([(f"n{number}", "a", "b") for number in range(50)]),
    ],
    ids=["a label with one row", "one class only", "every answer wrong"],
)
def test_odd_answers_make_a_whole_page(rows: AnsweredRows, tmp_path: Path) -> None:
    write_report(tmp_path, report_of(rows))
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>") and "nan" not in page.lower()
    assert read_report(tmp_path) == report_of(rows)


def test_without_a_validation_slice_the_page_states_why_there_is_no_curve() -> None:
    page = render_page(report_of(MIXED))
    assert "No learning curve: 0 phrases are held out, 30 are needed." in page
    assert "Gap not measured: too few new phrases" in page and "<svg" not in page


def test_a_gap_beyond_its_limit_turns_the_page_red_and_is_bold_on_the_page_of_the_run() -> None:
    parts = [Part("training", 1000, 0.99), Part("validation", 400, 0.5), Part("test", 0, None)]
    gap = {**measure_gap(parts, limit=0.2), "share": 1.0}
    report = report_of(MIXED, gap=gap)
    assert '<header class="red">' in render_page(report)
    assert "- **GAP BEYOND ITS LIMIT of 20%: 49.0% from training to validation." in render_summary(
        report
    )
    sound = {**measure_gap([Part("training", 9, 0.9)], limit=0.2), "share": 1.0}
    assert '<header class="red">' not in render_page(report_of(MIXED, gap=sound))


def test_a_substituted_head_is_named_with_its_curve() -> None:
    report = report_of(MIXED, refits=logistic_refits(), params=MlpHead(kind="mlp"))
    assert "as a logistic head learns" in "\n".join(summary_lines(report))
    assert "not the block&#39;s own kind" in render_page(report)


def test_a_thousand_labels_fit_in_a_page_of_two_megabytes() -> None:
    long = "word " * 100
    rows = answered(
        [
            (f"{long}{number} {copy}", f"label {number}", f"label {(number + copy) % 1000}")
            for number in range(1000)
            for copy in range(4)
        ]
    )
    report = report_of(rows)
    page = render_page(report)
    assert len(report["labels"]) == 1000 and len(report["confused"]) == MOST_PAIRS
    assert len(page.encode()) < 2_000_000
    shown = max(len(row["phrase"]) for label in report["labels"] for row in label["examples"])
    assert shown == LONGEST_EXAMPLE


def test_the_summary_names_everything_in_about_ten_lines() -> None:
    report = with_champion(full_report(), MIXED, MIXED.truth, version="1")
    lines = summary_lines(report)
    assert 6 <= len(lines) <= 11
    text = "\n".join(lines)
    for part in ("Most confused", "Wrong of a thousand", "pattern", "100% more rows", "training"):
        assert part in text


def test_a_missing_or_damaged_report_reads_as_none(tmp_path: Path) -> None:
    assert read_report(tmp_path) is None
    (tmp_path / "errors.json").write_text("{", encoding="utf-8")
    assert read_report(tmp_path) is None

"""Bias that is planted is found and holds a promotion; fair data shows none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from core.contracts import Verdict
from core.params.bias import BiasParams
from flows.candidates.bias_changes import bias_changes
from pipelines.bias import measures, regions
from pipelines.bias.clustered import gap, mean, ratio
from pipelines.bias.groups import label_frequencies
from pipelines.bias.measures import (
    Measure,
    evaluation,
    historical,
    measurement,
    representation,
)
from pipelines.bias.regions import aggregation
from pipelines.bias.report import bias_report, off_limits
from pipelines.bias.rows import BiasRows, bias_rows
from pipelines.bias.since_champion import changes_since
from pipelines.gate.holds import hold_biased

LIMITS = BiasParams().model_dump()
LABELS = np.array(["a", "b", "c", "d"], dtype=object)
DAY = 86_400_000_000


def tables(
    seed: int = 0,
    *,
    rows: int = 4000,
    phrases: int = 600,
    wrong: Callable[[np.ndarray], np.ndarray] = lambda regions: np.full(len(regions), 0.1),
) -> tuple[pa.Table, pa.Table]:
    """Labelled rows of two regions, and answers that are wrong with `wrong(regions)`.

    All rows of a phrase in a region are answered alike, as a classifier does.
    """
    rng = np.random.default_rng(seed)
    phrase = (phrases * rng.random(rows) ** 2).astype(int)
    region = rng.choice(["north", "south"], rows, p=[0.7, 0.3])
    label = LABELS[phrase % 4]
    moment = np.sort(rng.integers(0, 1000 * DAY, rows))
    test = (moment > 600 * DAY) & (phrase % 3 == 0)
    luck = rng.random((phrases, 2))[phrase, (region == "south").astype(int)]
    predicted = np.where(luck < wrong(region), LABELS[(phrase + 1) % 4], label)
    labels = pa.table(
        {
            "id": [str(number) for number in range(rows)],
            "cleaned": [" ".join(["word"] * (1 + number % 8)) + f" {number}" for number in phrase],
            "label": list(label),
            "occurred_at": pa.array(moment, pa.timestamp("us", "UTC")),
            "from_source": np.ones(rows, bool),
            "test": test,
            "region": list(region),
        }
    )
    answers = labels.filter(pa.array(test)).select(["id", "cleaned", "label"])
    return labels, answers.append_column("predicted", pa.array(list(predicted[test])))


def fair(seed: int = 0, **changes: object) -> BiasRows:
    return bias_rows(*tables(seed, **changes))  # type: ignore[arg-type]


def measure_all(rows: BiasRows, *, min_rows: int) -> list[Measure]:
    """The measures of the four kinds that need no embeddings."""
    kinds = (historical, representation, measurement, evaluation)
    return [found for kind in kinds for found in kind(rows, min_rows=min_rows)]


def report_of(rows: BiasRows) -> dict:
    return bias_report(measure_all(rows, min_rows=200), limits=LIMITS)


def south_is_worse(regions: np.ndarray) -> np.ndarray:
    return np.where(regions == "south", 0.5, 0.05)


def test_a_region_that_is_answered_worse_is_found_and_holds_a_promotion() -> None:
    report = report_of(fair(rows=8000, wrong=south_is_worse))
    found = off_limits(report)
    assert {(row["kind"], row["group"]) for row in found} == {("evaluation", "south")}
    assert report["kinds"]["evaluation"]["within"] is False
    verdict = hold_biased(Verdict("promote", ("better",), {"gain": 0.1}), report)
    assert verdict.kind == "hold" and "region south" in verdict.reasons[0]
    assert verdict.evidence["gain"] == 0.1 and len(verdict.evidence["bias"]) == 1
    kept = hold_biased(Verdict("keep", ("even",)), report)
    assert (kept.kind, kept.reasons[0]) == ("keep", "even")


def champion_of(rows: BiasRows, *, wrong: float, seed: int) -> np.ndarray:
    """Answers of a champion: of each phrase and region, right or of another label."""
    luck = np.random.default_rng(seed).random((len(rows.texts), 2))
    tested = rows.phrases[rows.test]
    south = rows.groups["region"][rows.test] == "south"
    missed = luck[tested, south.astype(int)] < np.where(south, wrong, 0.05)
    truth = rows.labels[rows.test]
    following = LABELS[(np.searchsorted(LABELS.astype(str), truth.astype(str)) + 1) % 4]
    return np.where(missed, following, truth).astype(object)


@pytest.mark.parametrize(("wrong", "kind"), [(0.5, "promote"), (0.6, "promote"), (0.05, "hold")])
def test_bias_of_answers_holds_only_where_the_champion_has_less(wrong: float, kind: str) -> None:
    rows = fair(rows=8000, wrong=south_is_worse)
    report = report_of(rows)
    champion = champion_of(rows, wrong=wrong, seed=9)
    changes = changes_since(rows, champion, off_limits(report))
    verdict = hold_biased(Verdict("promote", ("better",)), report, changes)
    assert verdict.kind == kind
    [sentence] = verdict.evidence["bias"]
    assert "region south" in sentence
    assert ("not proved larger than the champion's" in sentence) == (kind == "promote")
    assert hold_biased(Verdict("promote", ("better",)), report, None).kind == "hold"


def test_the_same_answers_are_not_worse() -> None:
    rows = fair(rows=8000, wrong=south_is_worse)
    changes = changes_since(rows, rows.predicted, off_limits(report_of(rows)))
    assert [(change.value, change.low, change.high) for change in changes.values()] == [(0, 0, 0)]


def test_stale_answers_hold_only_where_the_champion_gave_fewer() -> None:
    rows = fair(wrong=lambda regions: np.zeros(len(regions)))
    later = rows.recent & (rows.phrases % 4 == 0)
    rows = replace(rows, labels=np.where(later, "new", rows.labels))
    found = [row for row in off_limits(report_of(rows)) if row["kind"] == "historical"]
    same = changes_since(rows, rows.predicted, found)
    assert {change.low for change in same.values()} == {0.0}
    right = changes_since(rows, rows.labels[rows.test], found)
    assert all(change.low > 0 for change in right.values()) and len(right) == len(found) > 1


def test_a_comparison_with_the_champion_that_fails_holds_as_without_one(tmp_path: Path) -> None:
    report = report_of(fair(rows=8000, wrong=south_is_worse))
    assert bias_changes(tmp_path, report, np.array(["a"])) is None


def test_representation_is_named_and_holds_nothing() -> None:
    row = {"kind": "representation", "dimension": "region", "group": "east", "missing": ""}
    measure = {**row, "value": 9.0, "low": 7.5, "high": 11.0, "limit": 4.0, "rows": 900}
    report = {"measures": [{**report_of(fair())["measures"][0], **measure}]}
    verdict = hold_biased(Verdict("promote", ("better",)), report)
    assert verdict.kind == "promote" and "east" in verdict.reasons[1]


def test_fair_data_holds_nothing() -> None:
    verdict = hold_biased(Verdict("promote", ("better",)), report_of(fair()))
    assert (verdict.kind, verdict.reasons) == ("promote", ("better",))


def test_fair_data_shows_a_group_no_more_often_than_the_level_says() -> None:
    draws = 40
    shown = dict.fromkeys(("historical", "representation", "measurement", "evaluation"), 0)
    for seed in range(draws):
        for kind in {row.kind for row in measure_all(fair(seed), min_rows=200) if above(row)}:
            shown[kind] += 1
    nominal = measures.DOUBT / 2  # one side
    most = draws * nominal + 3 * np.sqrt(draws * nominal * (1 - nominal))
    assert shown.pop("historical") == 0
    assert max(shown.values()) <= most, shown


def above(measure: Measure) -> bool:
    """Whether a fair value, 0 or once as often, is excluded from below."""
    fair_value = 1.0 if measure.kind == "representation" else 0.0
    return measure.low is not None and measure.low > fair_value


def test_the_interval_of_a_mean_holds_it_when_phrases_repeat() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        phrases = (80 * rng.random(600) ** 2).astype(int)
        values = (rng.random(80) < 0.3).astype(float)[phrases]
        around = mean(values, phrases)
        held += around.low <= 0.3 <= around.high
    assert 0.91 <= held / 400 <= 0.985


def test_a_difference_and_a_ratio_have_the_values_of_their_rows() -> None:
    values = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    inside = np.array([True, True, True, False, False, False])
    around = gap(values, inside, np.arange(6))
    assert around.value == pytest.approx(1 / 3) and around.low < 0 < around.high
    often = np.arange(1000) % 2 == 0
    seldom = np.arange(1000) % 10 == 0
    times = ratio((often, seldom), (np.arange(1000), np.arange(1000)))
    assert times.value == pytest.approx(5, rel=0.01) and 4 < times.low < 5 < times.high < 6.3


def test_a_group_with_few_rows_is_named_and_not_measured() -> None:
    labels, answers = tables()
    regions = labels["region"].to_pylist()
    regions[-5:] = ["islands"] * 5
    labels = labels.set_column(labels.column_names.index("region"), "region", pa.array(regions))
    report = report_of(bias_rows(labels, answers))
    [row] = [
        row
        for row in report["measures"]
        if row["group"] == "islands" and row["kind"] == "representation"
    ]
    assert row["missing"] == "5 rows, at least 200 wanted" and row["value"] is None


def test_a_region_that_labels_otherwise_is_a_measurement_bias() -> None:
    labels, answers = tables()
    south = np.array(labels["region"].to_pylist()) == "south"
    moved = south & (np.char.find(labels["cleaned"].to_pylist(), "3") >= 0)
    changed = np.where(moved, "d", np.array(labels["label"].to_pylist()))
    at = labels.column_names.index("label")
    labels = labels.set_column(at, "label", pa.array(changed.tolist()))
    found = off_limits(report_of(bias_rows(labels, answers)))
    assert {row["group"] for row in found if row["kind"] == "measurement"} == {"south"}


def test_an_answer_of_the_past_is_a_historical_bias() -> None:
    rows = fair(wrong=lambda regions: np.zeros(len(regions)))
    later = rows.recent & (rows.phrases % 4 == 0)
    labels = np.where(later, "new", rows.labels)
    found = off_limits(report_of(replace(rows, labels=labels)))
    assert "historical" in {row["kind"] for row in found}


def test_a_group_that_training_hardly_knows_is_a_representation_bias() -> None:
    rows = fair()
    place = np.arange(len(rows.test))
    recent = rows.recent & (place % 4 == 0)
    regions = np.where(recent | (place % 50 == 0), "new", "old")
    groups = {**rows.groups, "region": regions}
    test = recent & rows.test
    predicted = rows.predicted[test[rows.test]]
    rows = replace(rows, recent=recent, test=test, predicted=predicted, groups=groups)
    found = off_limits(report_of(rows))
    assert ("representation", "new") in {(row["kind"], row["group"]) for row in found}


@pytest.mark.parametrize(("opposite", "pays"), [(True, True), (False, False)])
def test_one_model_per_region_pays_where_regions_have_rules_of_their_own(
    opposite: bool, pays: bool
) -> None:
    rows = fair()
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((len(rows.texts), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    side = (vectors[:, 0] > 0)[rows.phrases]
    if opposite:
        side ^= rows.groups["region"] == "south"
    rows = replace(rows, labels=np.where(side, "a", "b").astype(object))
    place = {text: number for number, text in enumerate(rows.texts)}
    measured = aggregation(
        rows, lambda phrases: vectors[[place[text] for text in phrases]], min_rows=200
    )
    report = bias_report(measured, limits=LIMITS)
    assert (report["kinds"]["aggregation"]["within"] is False) == pays


def test_one_region_alone_is_named() -> None:
    rows = fair()
    rows = replace(rows, groups={**rows.groups, "region": np.full(len(rows.test), "none")})
    measured = aggregation(
        rows, lambda phrases: np.zeros((len(phrases), 2), np.float32), min_rows=200
    )
    assert measured[0].missing == "1 regions with 200 rows, at least 2 wanted"


def test_a_region_of_which_no_phrase_was_drawn_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = fair()
    last = int(np.argmax([regions._hash(text) for text in rows.texts]))
    monkeypatch.setattr(regions, "MAX_PHRASES", len(rows.texts) - 1)
    west = np.arange(len(rows.phrases)) < 250
    places = np.where(west, "west", rows.groups["region"]).astype(object)
    rows = replace(
        rows,
        phrases=np.where(west, last, rows.phrases),
        groups={**rows.groups, "region": places},
    )
    vectors = np.random.default_rng(0).normal(size=(len(rows.texts), 4)).astype(np.float32)
    measured = aggregation(rows, lambda phrases: vectors[: len(phrases)], min_rows=200)
    [of_west] = [measure for measure in measured if measure.group == "west"]
    assert of_west.missing == "0 rows were drawn, at least 200 wanted"
    assert bias_report(measured, limits=LIMITS)["kinds"]["aggregation"]["value"] is not None


def test_labels_are_common_middle_or_rare_by_their_training_rows() -> None:
    labels = np.array(["a"] * 60 + ["b"] * 36 + ["c"] * 4, dtype=object)
    names = label_frequencies(labels, trained=np.ones(100, bool))
    assert [names[0], names[60], names[-1]] == ["common labels", "middle labels", "rare labels"]

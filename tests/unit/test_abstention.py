"""When a classifier answers "none of these": the score, its threshold, its file, its answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bentos.answering.encoding import encode_answer, journal_row, response_body, row_shared
from bentos.heads.loading import load_live
from bentos.packaging.cold_heads import read_cold_heads
from bentos.packaging.package import _stage_cold
from core.contracts import ModelVersion, Prediction
from core.errors import HeadRefused, ParamsError
from core.params.schema import load_params
from core.pins import Pin, apply_pin, settle
from pipelines.memory.build import build_memory
from pipelines.model.abstention import (
    FILE,
    Abstention,
    as_json,
    fit_score,
    load_abstention,
    save_abstention,
)
from pipelines.model.classifier import PhraseClassifier, refused_places
from pipelines.model.digests import recorded_digest
from pipelines.model.head_file import save_head
from pipelines.model.novelty import distance_to_label, novelty
from pipelines.model.promise import promise_sentence
from pipelines.model.registered_rule import load_promised
from pipelines.model_store import problem_of, store_version, stored_version
from pipelines.stages import abstaining
from pipelines.stages.abstaining import abstention_metrics, describe_abstention
from pipelines.stages.abstention_rule import (
    EVERYTHING,
    Unseen,
    choose_rule,
    refusing_at_most,
)
from pipelines.stages.intervals import share_of_rows
from tests.support.heads import EMBEDDER_ID, make_head, store_head

RULE = Abstention(threshold=0.5, novelty_limit=0.4, novelty_weight=10.0)
MODEL = ModelVersion("organ", "1", "head", "sha256:1", EMBEDDER_ID)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAR = Prediction("heart", 0.4, (("lung", 0.3),), abstained=True)


def block(abstain: str) -> str:
    source = "{query: queries/notes.sql, label: organ}"
    return f"classifiers:\n  organ:\n    source: {source}\n    abstain: {abstain}\n"


@pytest.mark.parametrize(
    ("abstain", "wanted"),
    [
        ("{}", "exactly one of max_false and min_precision"),
        ("{max_false: 0.04, min_precision: 0.9}", "exactly one of max_false and min_precision"),
        ("{max_false: 0}", "greater than 0"),
        ("{min_precision: 1}", "less than 1"),
        ("{max_falze: 0.1}", "only known keys at classifiers.organ.abstain.max_falze"),
    ],
)
def test_an_impossible_block_is_refused_with_its_path(
    tmp_path: Path, abstain: str, wanted: str
) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(block(abstain))
    with pytest.raises(ParamsError, match=wanted):
        load_params(file)


def test_a_block_without_the_key_always_answers(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(block("{max_false: 0.04}"))
    assert load_params(file).classifier("organ").abstain is not None
    file.write_text(block("null"))
    assert load_params(file).classifier("organ").abstain is None


def test_novelty_lowers_a_score_only_beyond_its_limit() -> None:
    confidence = np.array([0.8, 0.8, 0.8], np.float32)
    scores = RULE.scores(confidence, np.array([0.1, 0.4, 0.5], np.float32))
    assert scores[:2] == pytest.approx(math.log(4), abs=1e-5)
    assert scores[2] == pytest.approx(math.log(4) - 1, abs=1e-5)


def test_a_certain_answer_has_a_finite_score() -> None:
    assert all(math.isfinite(RULE.score(share, 0.0)) for share in (0.0, 1.0))


def test_equal_novelty_of_all_phrases_has_no_weight() -> None:
    assert (
        fit_score(np.array([0.9, 0.5], np.float32), np.full(2, 0.3, np.float32)).novelty_weight == 0
    )


@pytest.mark.parametrize(("phrases", "place"), [(24, 1), (99, 4), (249, 10)])
def test_the_threshold_is_that_of_split_conformal_prediction(phrases: int, place: int) -> None:
    scores = np.random.default_rng(1).permutation(phrases).astype(float)
    assert refusing_at_most(scores, 0.04) == place - 1


def test_too_few_phrases_refuse_nothing() -> None:
    assert refusing_at_most(np.arange(23.0), 0.04) == -math.inf


def draw(random: np.random.Generator, phrases: int) -> Unseen:
    """Phrases that are right as often as their confidence says."""
    confidence = random.beta(4, 1, phrases).astype(np.float32)
    far = random.normal(0.4, 0.05, phrases).astype(np.float32)
    return Unseen(confidence, far, random.random(phrases) < confidence)


def test_fresh_phrases_with_a_label_are_refused_as_seldom_as_was_asked() -> None:
    random = np.random.default_rng(5)
    refused = []
    for _ in range(100):
        rule = choose_rule(draw(random, 300), {"max_false": 0.04, "min_precision": None}).rule
        assert rule is not None
        fresh = draw(random, 2000)
        refused.append(np.mean(rule.refuses(fresh.confidence, fresh.novelty)))
    assert 0.034 < np.mean(refused) < 0.042


def test_fresh_answers_are_as_often_right_as_was_asked() -> None:
    random = np.random.default_rng(6)
    missed = 0
    for _ in range(100):
        rule = choose_rule(draw(random, 1000), {"max_false": None, "min_precision": 0.9}).rule
        assert rule is not None
        fresh = draw(random, 20_000)
        answered = ~np.array(rule.refuses(fresh.confidence, fresh.novelty))
        missed += fresh.right[answered].mean() < 0.9
    assert missed / 100 < 0.12


def test_a_precision_that_no_threshold_shows_refuses_every_new_phrase() -> None:
    phrases = draw(np.random.default_rng(7), 60)
    choice = choose_rule(phrases, {"max_false": None, "min_precision": 0.97})
    assert choice.rule is not None
    assert choice.rule.threshold == EVERYTHING
    assert choice.rule.refuses(np.ones(1, np.float32), np.zeros(1, np.float32)) == [True]
    assert 0.5 < choice.provable < 0.97


def test_without_unseen_phrases_nothing_is_refused() -> None:
    nothing = Unseen(np.zeros(0, np.float32), np.zeros(0, np.float32), np.zeros(0, bool))
    assert choose_rule(nothing, {"max_false": 0.04, "min_precision": None}).rule is None


@pytest.mark.parametrize("rule", [RULE, None])
def test_a_rule_is_what_was_saved(tmp_path: Path, rule: Abstention | None) -> None:
    save_abstention(rule, tmp_path)
    first = (tmp_path / FILE).read_bytes()
    save_abstention(rule, tmp_path)
    assert (tmp_path / FILE).read_bytes() == first
    assert load_abstention(tmp_path) == rule


def test_a_head_of_an_earlier_release_always_answers(tmp_path: Path) -> None:
    assert load_abstention(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"format": "other"}',
        '{"format": "perennial-abstention-1"}',
        '{"format": "perennial-abstention-1", "rule": {"threshold": 1}}',
        json.dumps(
            {
                "format": "perennial-abstention-1",
                "rule": {"threshold": "1", "novelty_limit": 1, "novelty_weight": 1},
            }
        ),
        '{"format": "perennial-abstention-1", "rule": {"threshold": NaN, "novelty_limit": 1,'
        ' "novelty_weight": 1}}',
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(HeadRefused, match="rule of abstention"):
        load_abstention(tmp_path)


def answers(rule: Abstention | None, *, knows: bool) -> list[Prediction]:
    """Answer a phrase that lies on a centroid, and one that lies nowhere."""
    head = make_head("1")
    vectors = np.vstack([head.centroids[0], np.full(512, 0.001, np.float32)])
    rows = pd_rows("nowhere") if knows else pd_rows("elsewhere")
    memory = build_memory(rows, classifier="organ", revision=1, as_of=NOW)
    classifier = PhraseClassifier(head, lambda _: vectors, memory=memory, abstention=rule)
    return classifier.predict(["on a centroid", "nowhere"])


def pd_rows(phrase: str) -> object:
    import pandas as pd

    moment = pd.Timestamp(NOW)
    return pd.DataFrame(
        {
            "cleaned": [phrase],
            "label": ["heart"],
            "received_at": [moment],
            "author": [""],
            "kind": [""],
        }
    )


def test_a_phrase_that_no_label_fits_is_refused_with_its_best_guess() -> None:
    kept, refused = answers(RULE, knows=False)
    assert (kept.abstained, refused.abstained) == (False, True)
    plain = answers(None, knows=False)[1]
    assert (refused.label, refused.probability) == (plain.label, plain.probability)


def test_a_phrase_that_people_labelled_is_never_refused() -> None:
    assert not answers(RULE, knows=True)[1].abstained


def pin(label: str) -> Pin:
    return Pin(7, "organ", "odd", label, NOW, None, "ada", "asked the clinic")


def encoded(prediction: Prediction, held: Pin | None) -> tuple[dict, dict]:
    answer = encode_answer(MODEL, "odd", prediction, revision=None, pin=held)
    response = json.loads(response_body(answer, "id", "champion", False))
    shared = row_shared(NOW, "champion", None, None, latency_ms=1.0)
    assert answer.abstained == response["abstained"]
    return response, json.loads(journal_row(answer, shared, "id", "odd", False))


def test_the_answer_and_its_row_say_that_it_was_refused() -> None:
    response, row = encoded(FAR, None)
    assert (response["abstained"], response["label"], response["probability"]) == (
        True,
        "heart",
        0.4,
    )
    assert row["abstained"] is True
    assert encoded(Prediction("heart", 0.9), None)[0]["abstained"] is False


def test_a_pin_that_says_the_same_settles_the_answer() -> None:
    response, row = encoded(FAR, pin("heart"))
    assert (response["abstained"], response["pinned"], row["abstained"]) == (False, False, False)


def test_a_pin_answers_and_the_row_keeps_what_the_version_said() -> None:
    response, row = encoded(FAR, pin("lung"))
    assert (response["label"], response["abstained"]) == ("lung", False)
    assert (row["label"], row["abstained"], row["pinned_label"]) == ("heart", True, "lung")


def test_a_settled_answer_without_a_pin_is_the_same_object() -> None:
    assert settle(FAR, None) is FAR
    assert not apply_pin(FAR, pin("lung")).abstained


def test_a_version_is_served_with_its_rule(tmp_path: Path) -> None:
    model = store_head(tmp_path, "organ", "1")
    live = load_live(model, "champion", home=tmp_path, embedder_id=EMBEDDER_ID)
    assert live.classifier.abstention is None
    save_abstention(RULE, Path(model.head_location))
    live = load_live(model, "champion", home=tmp_path, embedder_id=EMBEDDER_ID)
    assert live.classifier.abstention == RULE
    (Path(model.head_location) / FILE).write_text("{}")
    with pytest.raises(HeadRefused):
        load_live(model, "champion", home=tmp_path, embedder_id=EMBEDDER_ID)


def answered_rows(unseen: int) -> pa.Table:
    """Two rows of each phrase: those of seen phrases are right, a tenth of the others are wrong."""
    names = [f"phrase {number}" for number in range(unseen)] * 2 + ["known"] * 100
    wrong = [number % 10 == 0 and name != "known" for number, name in enumerate(names)]
    return pa.table(
        {
            "cleaned": names,
            "label": ["heart"] * len(names),
            "predicted": ["lung" if missed else "heart" for missed in wrong],
            "seen": [name == "known" for name in names],
        }
    )


@pytest.fixture
def random_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(phrases: list[str]) -> np.ndarray:
        random = np.random.default_rng(3)
        return random.normal(scale=0.04, size=(len(phrases), 512)).astype(np.float32)

    monkeypatch.setattr(abstaining, "read_vectors", read)


@pytest.mark.usefixtures("random_vectors")
def test_the_evaluation_says_what_is_answered_alone_and_how_well() -> None:
    rule, report = describe_abstention(
        make_head("1"), answered_rows(200), {"max_false": 0.05, "min_precision": None}
    )
    assert rule is not None
    assert report["policy"] == {"max_false": 0.05}
    assert report["phrases"] == 200
    unseen, whole = report["unseen"], report["all"]
    assert 0.95 <= unseen["answered"] < 1
    assert whole["answered"] == pytest.approx((100 + 400 * unseen["answered"]) / 500)
    assert whole["precision_low"] < whole["precision"] < whole["precision_high"]
    assert report["promise"]["precision"] <= whole["precision_low"]
    assert promise_sentence(report).startswith("answers 9")
    assert abstention_metrics(report)["unseen_answered_share"] == unseen["answered"]


@pytest.mark.usefixtures("random_vectors")
def test_an_evaluation_without_a_rule_says_why() -> None:
    policy = {"max_false": 0.05, "min_precision": None}
    rule, report = describe_abstention(make_head("1"), answered_rows(10), policy)
    assert rule is None
    assert "10 unseen phrases are too few to refuse any" in promise_sentence(report)
    policy = {"max_false": None, "min_precision": 0.97}
    rule, report = describe_abstention(make_head("1"), answered_rows(20), policy)
    assert rule is not None
    assert report["all"]["answered"] == pytest.approx(100 / 140, abs=1e-4)
    assert "20 unseen phrases prove" in promise_sentence(report)


def test_a_classifier_that_always_answers_promises_nothing() -> None:
    rule, report = describe_abstention(make_head("1"), answered_rows(20), {})
    assert (rule, promise_sentence(report), abstention_metrics(report)) == (None, "", {})
    assert promise_sentence({}) == ""


def test_rows_of_one_phrase_count_as_one_observation() -> None:
    right = np.repeat([True] * 9 + [False], 100)
    clustered = share_of_rows(right, np.repeat(np.arange(10), 100))
    alone = share_of_rows(right, np.arange(1000))
    assert clustered["precision"] == alone["precision"] == 0.9
    assert clustered["precision_low"] < 0.61 < 0.87 < alone["precision_low"]
    assert share_of_rows(right[:0], np.zeros(0, int))["precision_low"] == 0
    assert share_of_rows(right[:900], np.repeat(np.arange(9), 100))["precision_low"] < 0.71


def test_a_stored_version_has_the_rule_that_its_evaluation_describes(tmp_path: Path) -> None:
    folder = Path(store_head(tmp_path, "organ", "1").head_location)
    digest = recorded_digest(folder)
    assert problem_of(folder, digest=digest) == ""
    (folder / "evaluation.json").write_text(json.dumps({"abstention": {"rule": as_json(RULE)}}))
    assert "another rule than its evaluation describes" in problem_of(folder, digest=digest)
    save_abstention(RULE, folder)
    assert problem_of(folder, digest=digest) == ""
    (folder / FILE).write_text("{}")
    assert "an unusable rule of abstention" in problem_of(folder, digest=digest)
    (folder / "evaluation.json").write_text(json.dumps({"rows": 3}))
    save_abstention(None, folder)
    assert problem_of(folder, digest=digest) == ""


def test_a_version_is_stored_with_its_rule(tmp_path: Path) -> None:
    evaluation = tmp_path / "evaluation"
    save_abstention(RULE, evaluation)
    report = json.dumps({"abstention": {"rule": as_json(RULE)}})
    (evaluation / "evaluation.json").write_text(report)
    (evaluation / "reference.parquet").write_bytes(b"rows")
    save_head(make_head("1"), tmp_path / "model")
    stored = store_version(
        tmp_path / "models",
        classifier="organ",
        version="1",
        model=tmp_path / "model",
        evaluation=evaluation,
    )
    assert load_promised(Path(stored.head_location)) == RULE
    (evaluation / FILE).unlink()
    (evaluation / "evaluation.json").write_text("{}")
    older = store_version(
        tmp_path / "models",
        classifier="organ",
        version="2",
        model=tmp_path / "model",
        evaluation=evaluation,
    )
    assert load_promised(Path(older.head_location)) is None


def registered(folder: Path) -> ModelVersion:
    """A version that may refuse, as a retraining registers it."""
    evaluation = folder / "evaluation"
    save_abstention(RULE, evaluation)
    report = json.dumps({"abstention": {"rule": as_json(RULE)}})
    (evaluation / "evaluation.json").write_text(report)
    (evaluation / "reference.parquet").write_bytes(b"rows")
    save_head(make_head("1"), folder / "model")
    return store_version(
        folder / "models",
        classifier="organ",
        version="1",
        model=folder / "model",
        evaluation=evaluation,
    )


def drop_rule(version: Path) -> None:
    (version / FILE).unlink()


def drop_rule_and_evaluation(version: Path) -> None:
    (version / FILE).unlink()
    (version / "evaluation.json").unlink()


def answer_always(version: Path) -> None:
    save_abstention(None, version)


def refuse_less(version: Path) -> None:
    save_abstention(replace(RULE, threshold=RULE.threshold - 1), version)


DAMAGES = (drop_rule, drop_rule_and_evaluation, answer_always, refuse_less)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_version_whose_rule_is_gone_or_another_is_refused(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    model = registered(tmp_path)
    folder = Path(model.head_location)
    live = load_live(model, "champion", home=tmp_path, embedder_id=EMBEDDER_ID)
    assert live.classifier.abstention == RULE
    damage(folder)
    with pytest.raises(HeadRefused, match="perennial reproduce"):
        load_live(model, "champion", home=tmp_path, embedder_id=EMBEDDER_ID)
    with pytest.raises(HeadRefused, match="an unusable rule of abstention"):
        stored_version(tmp_path / "models", classifier="organ", version="1")
    save_abstention(RULE, folder)
    assert load_live(model, "champion", home=tmp_path, embedder_id=EMBEDDER_ID)


def test_a_version_without_a_recorded_digest_is_compared_with_its_evaluation(
    tmp_path: Path,
) -> None:
    """Versions of the releases between rules and their digests."""
    model = registered(tmp_path)
    (tmp_path / "models" / ".digests" / "organ" / "1.abstention").unlink()
    assert load_live(model, "champion", home=tmp_path, embedder_id=EMBEDDER_ID)
    drop_rule(Path(model.head_location))
    with pytest.raises(HeadRefused, match="another rule than its evaluation describes"):
        load_live(model, "champion", home=tmp_path, embedder_id=EMBEDDER_ID)


def test_a_version_packed_in_a_bento_keeps_its_rule(tmp_path: Path) -> None:
    model = registered(tmp_path)
    (tmp_path / "embedder").mkdir()
    cold = tmp_path / "cold"
    _stage_cold(cold, {"organ": model}, embedder=tmp_path / "embedder")
    [packed] = read_cold_heads(cold)
    live = load_live(packed, "champion", home=tmp_path, embedder_id=EMBEDDER_ID)
    assert live.classifier.abstention == RULE
    drop_rule(Path(packed.head_location))
    with pytest.raises(HeadRefused, match="rule of abstention"):
        load_live(packed, "champion", home=tmp_path, embedder_id=EMBEDDER_ID)


def test_what_the_best_label_decides_is_what_all_labels_decide() -> None:
    random = np.random.default_rng(9)
    head = make_head("1", labels=[f"label {number}" for number in range(20)])
    vectors = random.normal(size=(400, 512)).astype(np.float32) + 20 * head.centroids[0]
    probabilities = head.probabilities(["x"] * 400, vectors)
    far = novelty(head, vectors)
    limit = float(np.median(far))
    rule = Abstention(threshold=1.0, novelty_limit=limit, novelty_weight=80.0)
    refused = refused_places(head, rule, probabilities, vectors)
    every = rule.refuses(probabilities.max(axis=1), far)
    assert refused == np.flatnonzero(every).tolist()
    assert 0 < len(refused) < 400
    own = distance_to_label(head, vectors, probabilities.argmax(axis=1))
    assert (own >= far - 1e-6).all() and (own > far + 1e-3).any()

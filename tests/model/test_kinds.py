"""What every kind of head guarantees.

A floor of quality on fixed data, calibrated probabilities, equal bytes, and arrays that answer as
the model does.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from subprocess import PIPE, Popen, run

import numpy as np
import pytest

from core.params.heads import EnsembleHead, MlpHead
from core.params.heads import Head as HeadParams
from pipelines.model import mlp_head
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import Embed
from pipelines.model.head_file import Head, load_head, save_head
from pipelines.model.heads import fit_head, fit_heads
from pipelines.model.training import TrainingRows
from pipelines.stages.scores import ScoredAnswers, score
from tests.support.chapters import Split
from tests.support.training import best_labels, training_rows

FLOORS = {
    "majority": 0.0,
    "logistic": 0.93,
    "mlp": 0.93,
    "tfidf_svm": 0.93,
    "hybrid_svm": 0.95,
    "ensemble": 0.95,
}
LEARNING = [kind for kind in FLOORS if kind != "majority"]


@pytest.fixture(scope="session")
def vectors(embed: Embed, terms: Split) -> np.ndarray:
    return embed([phrase for phrase, _ in terms.test])


@pytest.fixture(scope="session")
def metrics(
    heads: dict[str, Head], terms: Split, vectors: np.ndarray
) -> dict[str, dict[str, float]]:
    cleaned, truth = (list(column) for column in zip(*terms.test, strict=True))
    answers = {
        kind: (best_labels(head, cleaned, vectors), head.probabilities(cleaned, vectors))
        for kind, head in heads.items()
    }
    return {
        kind: score(ScoredAnswers(np.array(truth), np.array(best), shares.max(axis=1)))
        for kind, (best, shares) in answers.items()
    }


@pytest.mark.parametrize("kind", FLOORS)
def test_the_floor_of_quality_holds(kind: str, metrics: dict[str, dict[str, float]]) -> None:
    assert metrics[kind]["weighted_f1"] > FLOORS[kind]
    if kind != "majority":
        assert (
            metrics["majority"]["weighted_f1"]
            < 0.6
            < metrics[kind]["weighted_f1"]
            <= metrics["hybrid_svm"]["weighted_f1"] + 0.005
        )


@pytest.mark.parametrize("kind", FLOORS)
def test_probabilities_mean_what_they_say(kind: str, metrics: dict[str, dict[str, float]]) -> None:
    assert metrics[kind]["calibration_error"] < 0.05


@pytest.mark.parametrize("kind", LEARNING)
def test_case_and_spacing_do_not_matter(
    kind: str, heads: dict[str, Head], embed: Embed, terms: Split
) -> None:
    classifier = PhraseClassifier(heads[kind], embed)
    phrases = [phrase for phrase, _ in terms.test[:40]]
    plain = classifier.predict(phrases)
    changed = classifier.predict([f" {phrase.upper()}  " for phrase in phrases])
    assert [answer.label for answer in changed] == [answer.label for answer in plain]
    assert np.allclose(
        [answer.probability for answer in changed],
        [answer.probability for answer in plain],
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", FLOORS)
def test_a_loaded_head_answers_as_the_trained_one(
    kind: str, heads: dict[str, Head], embed: Embed, terms: Split, tmp_path: Path
) -> None:
    save_head(heads[kind], tmp_path)
    phrases = [phrase for phrase, _ in terms.test[:40]]
    before, after = (
        PhraseClassifier(head, embed).predict(phrases)
        for head in (heads[kind], load_head(tmp_path))
    )
    assert before == after


SMALL: dict[str, HeadParams] = {
    "mlp": MlpHead(kind="mlp", hidden=24, epochs=6),
    "ensemble": EnsembleHead(kind="ensemble", buckets=512, hidden=24, epochs=6),
}


def small_head(kind: str) -> Head:
    return fit_head(SMALL[kind], training=training_rows(), embedder_id="words-1", seed=7)


ROOT = Path(__file__).parents[2]


def test_two_trainings_give_equal_bytes_also_in_another_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pipelines.__main__ import pin_arithmetic; pin_arithmetic()\n"
        "from pathlib import Path; from tests.model.test_kinds import *\n"
        "for folder in map(Path, sys.argv[1:]):\n"
        "    [save_head(small_head(kind), folder / kind) for kind in SMALL]"
    )
    folders = [tmp_path / number for number in "012"]
    for own in (folders[:2], folders[2:]):
        run([sys.executable, "-c", code, *map(str, own)], cwd=ROOT, check=True)
    for kind in SMALL:
        for name in ("head.json", "head.npz"):
            assert len({(folder / kind / name).read_bytes() for folder in folders}) == 1


def test_a_fit_that_was_killed_gives_the_same_bytes_when_it_runs_again(tmp_path: Path) -> None:
    """Killed between its phases, it leaves nothing that the next run could go on from."""
    code = (
        "from pathlib import Path; from tests.model.test_kinds import *; "
        "mlp_head._arrays = pausing(mlp_head._arrays); "
        f"save_head(small_head('mlp'), Path({str(tmp_path / '1')!r}))"
    )
    with Popen([sys.executable, "-c", code], cwd=ROOT, stdout=PIPE) as killed:
        assert killed.stdout is not None and killed.stdout.readline() == b"fitted a part\n"
        killed.kill()
    assert killed.returncode == -SIGKILL
    assert list(tmp_path.iterdir()) == []

    for folder in (tmp_path / "1", tmp_path / "2"):
        save_head(small_head("mlp"), folder)
    for name in ("head.npz", "head.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def pausing(arrays: Callable[..., object]) -> Callable[..., object]:
    """Announce the end of the first phase, and stay there until the process is killed."""

    def announce(*given: object) -> object:
        print("fitted a part", flush=True)
        threading.Event().wait()
        return arrays(*given)

    return announce


def epochs_run(rows: TrainingRows, held: np.ndarray | None, *, epochs: int) -> int:
    """Fit a perceptron without dropout on the rows that are not held back."""
    keras = mlp_head.import_keras()
    keras.utils.set_random_seed(7)
    codes = np.unique(rows.labels, return_inverse=True)[1]
    params = MlpHead(kind="mlp", hidden=64, dropout=0.0)
    network = mlp_head._network(keras, params, dimensions=rows.vectors.shape[1], labels=3)
    chosen = np.ones(len(codes), bool) if held is None else ~held
    return mlp_head._train(keras, network, rows, codes, chosen, epochs=epochs, rate=0.05, held=held)


def test_a_fit_stops_when_the_validation_slice_no_longer_gains() -> None:
    rows = training_rows()
    random = np.random.default_rng(5)
    held = random.uniform(size=len(rows.labels)) < 0.3
    # Half of the held labels are wrong: what is learnt by heart raises their loss.
    wrong = held & (random.uniform(size=len(held)) < 0.5)
    noisy = replace(rows, labels=np.where(wrong, np.roll(rows.labels, 110), rows.labels))
    assert epochs_run(noisy, held, epochs=200) < 100


def test_a_fit_without_a_validation_slice_runs_every_epoch() -> None:
    rows = training_rows()
    assert epochs_run(rows, None, epochs=12) == 12
    assert epochs_run(rows, np.zeros(len(rows.labels), bool), epochs=12) == 12


def test_an_ensemble_is_judged_without_the_test_rows_and_served_with_all() -> None:
    rows = training_rows()
    bones = rows.labels == "bone"
    split = replace(
        rows,
        weights=np.where(bones, 0, rows.weights),
        test_weights=np.where(bones, rows.weights, 0),
    )
    fitted = fit_heads(SMALL["ensemble"], training=split, embedder_id="words-1", seed=7)
    assert fitted.judged.labels == ("heart", "lung")
    assert fitted.served.labels == ("bone", "heart", "lung")
    vectors = rows.vectors[bones][:5]
    assert best_labels(fitted.served, rows.cleaned[bones][:5].tolist(), vectors) == ["bone"] * 5


def test_focal_loss_is_less_sure_of_what_is_easy() -> None:
    """It learns as well, and its logits need more sharpening to be calibrated."""
    rows = training_rows()
    plain, focal = (
        fit_head(
            MlpHead(kind="mlp", hidden=24, epochs=40, focal=focal),
            training=rows,
            embedder_id="words-1",
            seed=7,
        )
        for focal in (0.0, 3.0)
    )
    answers = best_labels(focal, rows.cleaned.tolist(), rows.vectors)
    assert np.mean(rows.labels == answers) > 0.85
    assert focal.settings["temperature"] < 0.8 * plain.settings["temperature"]


def test_the_arrays_of_a_perceptron_answer_as_keras_does() -> None:
    keras = mlp_head.import_keras()
    rows = training_rows()
    codes = np.unique(rows.labels, return_inverse=True)[1]
    params = MlpHead(kind="mlp", hidden=24)
    network = mlp_head._network(keras, params, dimensions=rows.vectors.shape[1], labels=3)
    mlp_head._train(keras, network, rows, codes, codes >= 0, epochs=20, rate=0.01)
    arrays = mlp_head._arrays(network, np.ones(3, bool))
    ours = Head("mlp", ("bone", "heart", "lung"), "words-1", arrays, {"temperature": 1.0})
    theirs = keras.ops.softmax(network(rows.vectors, training=False)).numpy()
    assert np.allclose(ours.probabilities(rows.cleaned.tolist(), rows.vectors), theirs, atol=1e-5)
    assert set(theirs.argmax(axis=1).tolist()) == {0, 1, 2}


def test_rows_that_came_often_weigh_more_in_a_perceptron() -> None:
    rows = training_rows(("heart", "bone"))
    answers = {}
    for much in ("heart", "bone"):
        phrase = np.array(["both"] * 2, dtype=object)
        vector = np.repeat(rows.vectors[:1], 2, axis=0)
        doubled = TrainingRows(
            np.append(rows.cleaned, phrase),
            np.append(rows.labels, ["heart", "bone"]),
            np.append(
                rows.weights, [1000.0 if label == much else 1.0 for label in ("heart", "bone")]
            ),
            np.vstack([rows.vectors, vector]),
            np.append(rows.validation, [False, False]),
        )
        head = fit_head(
            MlpHead(kind="mlp", hidden=24, epochs=10),
            training=doubled,
            embedder_id="words-1",
            seed=7,
        )
        answers[much] = head.probabilities(["both"], vector[:1])[0, head.labels.index("heart")]
    odds = {much: np.log(share / (1 - share)) for much, share in answers.items()}
    assert odds["heart"] > odds["bone"] + 0.5

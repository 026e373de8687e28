"""How many planted wrong labels are found, beside plain rankings of the same rows.

    python -m benchmarks.suspects [--classifier block] [--file commands.csv] [--quick]

Judges the demo's labels under build/, of which a fiftieth is wrong by design, and flips labels of
`--file`, a CSV of phrase and label, at random or to a label that is often confused. Needs `make
data` and `dvc repro`. The peer is a logistic regression of scikit-learn on the same vectors, out of
fold, ranked by the probability of the given label. cleanlab's cut stands beside it where that
package is installed (2.9.0 is under Apache-2.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Bar, Result, options, present, progress, table, timed
from pipelines.__main__ import pin_arithmetic

if TYPE_CHECKING:
    import numpy as np

    from pipelines.labels.out_of_fold import OutOfFold, Phrases
    from pipelines.model.training import TrainingRows

PACKAGES = ("numpy", "scipy", "scikit-learn")
SEED = 7
"""Of params.yaml: the demo's source was drawn by it."""
ONCE = "phrases of one row"
SHARES = (0.02, 0.05)
RECALL = 0.7
PRECISION = 0.5
MOST_SECONDS = 25.0
HEADS = ("labels", "rows", "wrong", "named", "recall", "precision")
PEERS = ("peer: recall", "precision", "cleanlab: named", "recall", "precision")


@dataclass(frozen=True, eq=False)
class Case:
    """Rows by pair, whose wrong ones are known.

    Attributes
    ----------
    name : of the case
    rows : the pairs
    wrong : int (n,), wrong rows of each pair
    """

    name: str
    rows: TrainingRows
    wrong: np.ndarray


def main() -> None:
    """Print the tables and the bars."""
    parser = options("how many planted wrong labels are found")
    parser.add_argument(
        "--classifier",
        default="block",
        help="a classifier of the demo with a split under build/ (default block)",
    )
    parser.add_argument("--file", type=Path, help="a CSV with the columns phrase and label")
    arguments = parser.parse_args()
    pin_arithmetic()  # before numpy is imported, as in a stage
    result = measure(
        arguments.classifier, arguments.file, quick=arguments.quick, seed=arguments.seed
    )
    present(result, title="Suspects", packages=PACKAGES, arguments=arguments)


def measure(key: str, file: Path | None, *, quick: bool, seed: int) -> Result:
    """Judge the demo's rows, then those of the file with flipped labels."""
    result = Result(input=f"demo, {key}" + (f"; {file.name}" if file else ""))
    lines = []
    seconds = 0.0

    for case in [demo_case(key), *(flipped_cases(file, quick=quick, seed=seed) if file else [])]:
        progress(case.name)
        figures = judge_case(case)
        result.figures[case.name] = figures
        seconds = max(seconds, figures["cpu_seconds"])
        lines.append((case.name, *_cells(figures)))
        if ONCE in figures:
            lines.append((f"of these, {ONCE}", "", *_own_cells(figures[ONCE]), *["–"] * 5))
        result.bars += [
            Bar(f"{case.name}: recall", figures["recall"], RECALL, at_least=True),
            Bar(f"{case.name}: precision", figures["precision"], PRECISION, at_least=True),
        ]

    result.bars.append(Bar("CPU-s of the slowest case, folds alone", seconds, MOST_SECONDS))
    result.tables.append(table((*HEADS, *PEERS), lines))
    return result


def demo_case(key: str) -> Case:
    """Return the demo's pairs; their rows are wrong where another label than the right is recorded.

    The practice is drawn again: it knows what every clerk should have recorded.
    """
    import numpy as np

    from pipelines.stages.files import classifier_folder, read_rows
    from pipelines.stages.training_pairs import training_rows

    rows = training_rows(key)
    labels = read_rows(classifier_folder(key) / "split" / "labels.parquet").to_pandas()
    labels = labels[labels["from_source"]]
    right = _right_labels(key)[labels["id"].to_numpy().astype(int) - 1]
    wrong_rows = labels[right != labels["label"].to_numpy()]
    counts = wrong_rows.groupby(["cleaned", "label"]).size().to_dict()
    pairs = zip(rows.cleaned.tolist(), rows.labels.tolist(), strict=True)
    return Case(f"demo, {key}", rows, np.array([counts.get(pair, 0) for pair in pairs]))


def _right_labels(key: str) -> np.ndarray:
    """Return the right label of every row of the demo's source, in order of its ids."""
    import numpy as np

    from pipelines.source.arrivals import draw_day
    from pipelines.source.practice import DAYS, load_practice

    practice = load_practice("default")
    of_code = np.array([getattr(code, key) for code in practice.catalogue.codes], dtype=object)
    return np.concatenate(
        [of_code[draw_day(practice, seed=SEED, day=day).right] for day in range(DAYS)]
    )


def flipped_cases(file: Path, *, quick: bool, seed: int) -> list[Case]:
    """Return the file's phrases with flipped labels: uniformly, and to confusable ones."""
    import numpy as np

    truth = _read_file(file, quick=quick)
    labels, codes = np.unique(truth.labels, return_inverse=True)
    confusions = _confusions(truth, codes, labels=len(labels))
    even = np.ones((len(labels), len(labels))) - np.eye(len(labels))
    chances = {"uniform": even / even.sum(axis=1, keepdims=True), "confusable": confusions}
    return [
        _flip(truth, codes, labels, chance, share=share, seed=seed, name=f"{share:.0%} {kind}")
        for kind, chance in chances.items()
        for share in SHARES
    ]


def _read_file(file: Path, *, quick: bool) -> TrainingRows:
    import numpy as np
    import pandas as pd

    from pipelines.model.embedder import load_embedder
    from pipelines.model.text import clean_learnable
    from pipelines.model.training import TrainingRows
    from pipelines.stages.embed import embed_steadily
    from pipelines.stages.files import EMBEDDER

    frame = pd.read_csv(file, keep_default_na=False)
    frame["cleaned"] = [clean_learnable(phrase) for phrase in frame["phrase"]]
    frame = frame[frame["cleaned"] != ""].drop_duplicates("cleaned").sort_values("cleaned")
    frame = frame.iloc[:: 5 if quick else 1]
    cleaned = frame["cleaned"].tolist()
    count = len(cleaned)
    return TrainingRows(
        cleaned=np.array(cleaned, dtype=object),
        labels=frame["label"].to_numpy().astype(str),
        weights=np.ones(count),
        vectors=embed_steadily(cleaned, embed=load_embedder(EMBEDDER)),
        validation=np.zeros(count, bool),
    )


def _confusions(truth: TrainingRows, codes: np.ndarray, *, labels: int) -> np.ndarray:
    """Return how likely each other label is answered for a label, out of fold: (k, k)."""
    import numpy as np

    answers = _answers(truth)[1].probabilities
    chance = np.zeros((labels, labels))
    np.add.at(chance, codes, answers)
    np.fill_diagonal(chance, 0)
    shares: np.ndarray = chance / chance.sum(axis=1, keepdims=True)
    return shares


def _flip(
    truth: TrainingRows,
    codes: np.ndarray,
    labels: np.ndarray,
    chance: np.ndarray,
    *,
    share: float,
    seed: int,
    name: str,
) -> Case:
    from dataclasses import replace

    import numpy as np

    random = np.random.default_rng(seed)
    wrong = random.random(len(codes)) < share
    changed = codes.copy()
    for place in np.flatnonzero(wrong):
        changed[place] = random.choice(len(labels), p=chance[codes[place]])
    return Case(f"flipped, {name}", replace(truth, labels=labels[changed]), wrong.astype(int))


def _answers(rows: TrainingRows) -> tuple[Phrases, OutOfFold]:
    from pipelines.labels.out_of_fold import answer_out_of_fold, judged_phrases

    phrases = judged_phrases(rows, seed=SEED)
    return phrases, answer_out_of_fold(phrases, seed=SEED)


def judge_case(case: Case) -> dict[str, Any]:
    """Return what was named, and what the peer finds when it names as many rows."""
    import numpy as np

    from pipelines.labels.wrong import judge_pairs, suspicious

    with timed() as timing:
        phrases, answers = _answers(case.rows)
        judged = judge_pairs(case.rows, phrases, answers)
        named = judged.places[suspicious(judged)]
    rows = case.rows.with_test().weights
    peer = _peer_shares(phrases, judged.phrases, judged.given)
    ranked = judged.places[np.argsort(peer[np.arange(len(peer)), judged.given], kind="stable")]
    as_many = ranked[: int(np.searchsorted(np.cumsum(rows[ranked]), rows[named].sum())) + 1]
    figures = {
        "rows": int(rows.sum()),
        "wrong": int(case.wrong.sum()),
        "cpu_seconds": round(timing.cpu, 1),
        **_hit_shares(case, rows, named),
        "peer": _hit_shares(case, rows, as_many),
    }
    once = (phrases.rows == 1)[judged.phrases]
    if once.any() and not once.all():
        alone = np.zeros(len(rows), bool)
        alone[judged.places[once]] = True
        figures[ONCE] = {
            "wrong": int(case.wrong[alone].sum()),
            **_hit_shares(case, rows, named[alone[named]], among=alone),
        }
    if find_spec("cleanlab"):
        find_issues = import_module("cleanlab.filter").find_label_issues
        issues = find_issues(judged.given, peer, n_jobs=1)
        figures["cleanlab"] = _hit_shares(case, rows, judged.places[issues])
    return figures


def _hit_shares(
    case: Case, rows: np.ndarray, named: np.ndarray, *, among: np.ndarray | None = None
) -> dict[str, float]:
    hits = int(case.wrong[named].sum())
    wrong = int(case.wrong.sum() if among is None else case.wrong[among].sum())
    count = int(rows[named].sum())
    return {
        "named": count,
        "recall": round(hits / max(wrong, 1), 4),
        "precision": round(hits / max(count, 1), 4),
    }


def _peer_shares(phrases: Phrases, phrase: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the probabilities of scikit-learn's logistic regression, out of fold: (p, k).

    It learns one row for each pair, as a user would write it, and the folds are those of phrases.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    vectors = phrases.vectors[phrase]
    folds = phrases.folds[phrase]
    shares = np.zeros((len(phrase), len(phrases.labels)))
    for fold in np.unique(folds):
        held = folds == fold
        model = LogisticRegression(max_iter=100).fit(vectors[~held], given[~held])
        shares[np.ix_(held, model.classes_)] = model.predict_proba(vectors[held])
    return shares


def _cells(figures: dict[str, Any]) -> list[str]:
    cells = [f"{figures['rows']:,}", *_own_cells(figures), *_shares(figures["peer"])]
    if "cleanlab" not in figures:
        return [*cells, *["not installed"] * 3]
    return [*cells, f"{figures['cleanlab']['named']:,}", *_shares(figures["cleanlab"])]


def _own_cells(figures: dict[str, Any]) -> list[str]:
    return [f"{figures['wrong']:,}", f"{figures['named']:,}", *_shares(figures)]


def _shares(figures: dict[str, Any]) -> list[str]:
    return [f"{figures[name]:.3f}" for name in ("recall", "precision")]


if __name__ == "__main__":
    main()

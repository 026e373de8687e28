"""The test rows of the gate's benchmark, and simulated candidates on them.

The rows, their phrases and the traffic they stand for are those that `dvc repro` left for the
demo's snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow.compute as pc
from pydantic import TypeAdapter

from benchmarks import drift_champions
from core.params.heads import Head as HeadParams
from pipelines.gate.drifted import DriftRows
from pipelines.gate.rows import GateRows
from pipelines.gate.traffic import post_stratify
from pipelines.model.heads import fit_head
from pipelines.stages import split
from pipelines.stages.labelled_rows import (
    LabelledRows,
    labelled_rows,
    leave_out_rare,
    within_history,
)
from pipelines.stages.train import rows_of

KEY = drift_champions.KEY
WEEK = np.timedelta64(7, "D")
DRIFT_SHARE = 1 / 3
"""The newest third of the test rows counts as since the drift, so that this route can err too."""
HEAD_ROWS = 20
"""From so many rows on, a phrase is frequent."""
FREQUENT = "frequent phrases"
RARE = "rare phrases"
FRESH = "new phrases"
KNOWN = "known phrases"


@dataclass(frozen=True)
class World:
    """The test rows as two real heads a week apart answered them, and the rows of each phrase:
    `starts[code]` int (rows,).

    `drawn` int (phrases,) is the phrase's number in the world that it was drawn from; `newest`
    bool (rows,) marks the rows that count as those since a drift.
    """

    rows: GateRows
    starts: list[np.ndarray]
    drawn: np.ndarray
    newest: np.ndarray

    @property
    def phrases(self) -> int:
        return len(self.starts)

    @property
    def discordant(self) -> int:
        """Test phrases that the two real heads answer differently."""
        changed = self.rows.candidate != self.rows.champion
        return len(np.unique(self.rows.phrases[changed]))

    @cached_property
    def shares(self) -> np.ndarray:
        """float (phrases,): share of the weight."""
        weights = np.bincount(self.rows.phrases, self.rows.weights)
        return np.asarray(weights / weights.sum())

    @cached_property
    def labels(self) -> np.ndarray:
        """str (phrases,): the label of each phrase's first row."""
        return self.rows.truth[[places[0] for places in self.starts]]


def demo_world(*, seed: int) -> World:
    """Read data/ and build/embeddings, fit the classifier's head on all training rows, and again
    without the last week of them.
    """
    rows = _source_rows()
    spec = drift_champions._spec()
    parts = split.split_rows(rows, test_days=spec["test_days"], seed=spec["seed"])
    tested = parts.test[parts.recent]
    recent = rows.only(parts.recent)
    fresh = ~parts.seen_before[parts.recent]
    strata = post_stratify(recent.phrase_codes, fresh, tested)

    test = rows.only(parts.test)
    earlier = rows.occurred_at < rows.occurred_at.max() - WEEK
    phrases, codes = np.unique(test.phrases[test.phrase_codes], return_inverse=True)
    vectors = drift_champions.snapshot_vectors()
    champion = _answers(rows.only(~parts.test & earlier), phrases, vectors, seed=seed)[codes]
    candidate = _answers(rows.only(~parts.test), phrases, vectors, seed=seed)[codes]

    test_rows = GateRows(
        truth=test.labels.astype(str),
        phrases=codes,
        candidate=candidate,
        champion=champion,
        floor="",
        weights=strata.weights[tested],
        judges=np.ones(len(codes), dtype=bool),
        slices=_slices(test.regions.astype(str), codes, fresh[tested]),
        uncovered=strata.uncovered,
    )

    starts = [np.flatnonzero(codes == code) for code in range(len(phrases))]
    return World(test_rows, starts, np.arange(len(phrases)), _newest(test.occurred_at))


def _source_rows() -> LabelledRows:
    """The rows that the split stage takes, without feedback."""
    spec = drift_champions._spec()
    stored = drift_champions._stored_rows()
    stored = stored.filter(pc.equal(stored["origin"], "source"))
    labelled = labelled_rows(stored, label=KEY)
    history = within_history(labelled, days=spec["history_days"])
    return leave_out_rare(history, min_rows=spec["min_rows_per_label"])[0]


def _answers(
    rows: LabelledRows, phrases: np.ndarray, vectors: drift_champions.Vectors, *, seed: int
) -> np.ndarray:
    """str (phrases,): what a head fitted on these rows says."""
    train = split.training_table(rows, seed=drift_champions._spec()["seed"])
    params = TypeAdapter(HeadParams).validate_python(drift_champions._head_spec())
    training = rows_of(train, embed=vectors)
    head = fit_head(params, training=training, embedder_id="use", seed=seed)
    best = head.probabilities(list(phrases), vectors(list(phrases))).argmax(axis=1)
    return np.asarray(np.array(head.labels, dtype=str)[best])


def _newest(occurred_at: np.ndarray) -> np.ndarray:
    """bool (n,): the newest DRIFT_SHARE of the rows."""
    ranks = np.argsort(np.argsort(occurred_at))
    return np.asarray(ranks >= (1 - DRIFT_SHARE) * len(occurred_at))


def _slices(regions: np.ndarray, codes: np.ndarray, fresh: np.ndarray) -> dict[str, np.ndarray]:
    frequency = np.bincount(codes)[codes]
    by_region = {f"region {name}": regions == name for name in np.unique(regions)}
    return by_region | {
        FRESH: fresh,
        KNOWN: ~fresh,
        FREQUENT: frequency >= HEAD_ROWS,
        RARE: frequency < HEAD_ROWS,
    }


@dataclass(frozen=True)
class Change:
    """How a simulated candidate differs from the champion: bool (phrases,) each, the phrases it
    wins and those it loses.
    """

    wins: np.ndarray
    losses: np.ndarray

    def only(self, phrases: np.ndarray) -> Change:
        """The change of drawn phrases."""
        return Change(self.wins[phrases], self.losses[phrases])


def no_change(phrases: int) -> Change:
    """A candidate that answers as the champion does."""
    none = np.zeros(phrases, dtype=bool)
    return Change(none, none.copy())


def draw_equal(
    world: World, discordant: int, random: np.random.Generator, *, won: float = 0.5
) -> Change:
    """So many discordant phrases, each won with probability `won` and lost otherwise."""
    change = no_change(world.phrases)
    chosen = random.choice(world.phrases, discordant, replace=False)
    better = random.random(discordant) < won
    change.wins[chosen[better]] = True
    change.losses[chosen[~better]] = True
    return change


def draw_worse(world: World, share: float, discordant: int, random: np.random.Generator) -> Change:
    """As `draw_equal`, and random further phrases lost until `share` of the weight is."""
    change = draw_equal(world, discordant, random)
    shares = world.shares
    order = random.permutation(np.flatnonzero(~change.wins & ~change.losses))
    lost = np.searchsorted(np.cumsum(shares[order]), share) + 1
    change.losses[order[:lost]] = True
    return change


def keep_of_label(
    world: World, phrases: int, random: np.random.Generator
) -> tuple[str, np.ndarray]:
    """A random label with at least so many phrases, and bool (phrases,): all phrases but those
    of the label that are too many.
    """
    names, counts = np.unique(world.labels, return_counts=True)
    label = str(random.choice(names[counts >= phrases]))
    own = random.permutation(np.flatnonzero(world.labels == label))
    kept = np.ones(world.phrases, dtype=bool)
    kept[own[phrases:]] = False
    return label, kept


def draw_broken(
    world: World, label: str, fall: float, discordant: int, random: np.random.Generator
) -> Change:
    """As `draw_equal`, and the share `fall` of the label's phrases lost."""
    change = draw_equal(world, discordant, random)
    own = random.permutation(np.flatnonzero(world.labels == label))
    broken = own[: round(fall * len(own))]
    change.wins[broken] = False
    change.losses[broken] = True
    return change


def redraw(world: World, random: np.random.Generator, kept: np.ndarray | None = None) -> World:
    """Draw the phrases anew, with replacement; every draw is a phrase of its own. `kept`: bool
    (phrases,), the ones to draw from.
    """
    among = np.arange(world.phrases) if kept is None else np.flatnonzero(kept)
    drawn = random.choice(among, len(among), replace=True)
    places = [world.starts[phrase] for phrase in drawn]
    sizes = np.array([len(place) for place in places])
    chosen = np.concatenate(places)
    rows = world.rows.only(chosen)
    weights = rows.weights / rows.weights.mean()
    clusters = np.repeat(np.arange(len(drawn)), sizes)
    starts = np.split(np.arange(sizes.sum()), np.cumsum(sizes)[:-1])
    redrawn = replace(rows, phrases=clusters, weights=weights)
    return World(redrawn, starts, drawn, world.newest[chosen])


def answer(world: World, change: Change, random: np.random.Generator) -> GateRows:
    """Both versions as the champion answers, but for what was won or lost."""
    rows = world.rows
    wins = change.wins[rows.phrases]
    losses = change.losses[rows.phrases]
    wrong = _other_labels(rows.truth, rows.phrases, random)
    assert rows.champion is not None
    champion = np.where(wins, wrong, np.where(losses, rows.truth, rows.champion))
    candidate = np.where(wins, rows.truth, np.where(losses, wrong, rows.champion))
    newest = world.newest
    drift = DriftRows(
        truth=rows.truth[newest],
        phrases=rows.phrases[newest],
        before=champion[newest],
        after=candidate[newest],
        repeated=np.ones(int(newest.sum()), bool),
    )
    return replace(rows, champion=champion, candidate=candidate, drift=drift)


def _other_labels(
    truth: np.ndarray, phrases: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """str (n,): another label than the true one, the same for all rows of a phrase, frequent
    ones more often.
    """
    offers = random.choice(truth, size=(int(phrases.max()) + 1, 2))
    first = offers[phrases, 0]
    second = offers[phrases, 1]
    return np.where(first != truth, first, np.where(second != truth, second, "none of these"))

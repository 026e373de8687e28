"""How often the gate is wrong: simulated candidates, beside the rule that it replaced.

    python -m benchmarks.gate [--quick] [--json] [--seed N] [--candidates 500] [--redraws 2000]

Needs the demo's snapshot and embeddings (`make data`, then `dvc repro`). Phrases are drawn anew for
every candidate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.drift_outcomes import share
from benchmarks.gate_rival import decide_by_bootstrap
from benchmarks.gate_world import (
    World,
    answer,
    demo_world,
    draw_broken,
    draw_equal,
    draw_worse,
    keep_of_label,
    redraw,
)
from benchmarks.harness import Bar, Result, options, present, progress, table
from core.params.gate import GateParams
from pipelines.gate.bounds import bound_gain
from pipelines.gate.decide import decide
from pipelines.gate.hypotheses import compare_answers, overall_differences
from pipelines.gate.rows import GateRows

POLICY = GateParams()
EQUAL = "equal"
BROKEN = "one label broken"
WORSE = "two points worse"
CORRECTED = "two points worse, 300 corrections"
POINTS = 0.02
LABEL_PHRASES = 30
FALL = 0.40
CORRECTIONS = 300
BUSY = 60
"""Discordant phrases of a candidate with another kind of head: the error rates must not rest on
few differences.
"""
RIVAL_EVERY = 5
"""The rule before takes 20 times as long."""
KINDS = ("promote", "keep", "undecided", "reject")
COVERED = (
    (0.5, None),
    (0.5, 8),
    (0.5, 15),
    (0.5, 30),
    (0.2, 30),
    (0.5, 60),
    (0.2, 60),
    (0.8, 60),
    (0.5, 120),
)
"""Share of won phrases, number of discordant ones (None: as between the two real heads)."""

Draw = Callable[[World, np.random.Generator], GateRows]


@dataclass(frozen=True)
class Seen:
    """Verdicts of one scenario by kind: the gate's, and those of the rule it replaced."""

    ours: Counter[str]
    before: Counter[str]


def draw_scenarios(world: World) -> dict[str, Draw]:
    """Name -> how a candidate of this scenario and its test rows are drawn."""

    usual = world.discordant

    def equal(world: World, random: np.random.Generator) -> GateRows:
        drawn = redraw(world, random)
        return answer(drawn, draw_equal(drawn, usual, random), random)

    def busy(world: World, random: np.random.Generator) -> GateRows:
        drawn = redraw(world, random)
        return answer(drawn, draw_equal(drawn, BUSY, random), random)

    def broken(world: World, random: np.random.Generator) -> GateRows:
        label, kept = keep_of_label(world, LABEL_PHRASES, random)
        drawn = redraw(world, random, kept)
        return answer(drawn, draw_broken(drawn, label, FALL, usual, random), random)

    def worse(world: World, random: np.random.Generator) -> GateRows:
        drawn = redraw(world, random)
        return answer(drawn, draw_worse(drawn, POINTS, usual, random), random)

    def corrected(world: World, random: np.random.Generator) -> GateRows:
        return with_corrections(worse(world, random), random)

    return {
        EQUAL: equal,
        f"equal, {BUSY} discordant phrases": busy,
        BROKEN: broken,
        WORSE: worse,
        CORRECTED: corrected,
    }


def with_corrections(rows: GateRows, random: np.random.Generator) -> GateRows:
    """Add 300 corrections of new phrases: the champion is wrong on all of them, the candidate
    right on nine in ten.
    """
    assert rows.champion is not None
    truth = random.choice(rows.truth, CORRECTIONS)
    learnt = random.random(CORRECTIONS) < 0.9
    none = np.zeros(CORRECTIONS, dtype=bool)
    new = rows.phrases.max() + 1 + np.arange(CORRECTIONS)
    return replace(
        rows,
        truth=np.concatenate([rows.truth, truth]),
        phrases=np.concatenate([rows.phrases, new]),
        candidate=np.concatenate([rows.candidate, np.where(learnt, truth, "other")]),
        champion=np.concatenate([rows.champion, np.full(CORRECTIONS, "other")]),
        weights=np.concatenate([rows.weights, np.ones(CORRECTIONS)]),
        judges=np.concatenate([rows.judges, none]),
        slices={name: np.concatenate([mask, none]) for name, mask in rows.slices.items()},
    )


def judge_scenario(world: World, draw: Draw, *, candidates: int, seed: int, name: str) -> Seen:
    """Judge so many candidates by both rules."""
    seen = Seen(Counter(), Counter())
    for number in range(candidates):
        random = np.random.default_rng((seed, number, *name.encode()))
        rows = draw(world, random)
        seen.ours[decide(rows, POLICY, seed=number).kind] += 1
        if number % RIVAL_EVERY == 0:
            seen.before[decide_by_bootstrap(rows, POLICY, seed=number)] += 1
    return seen


def measure_coverage(
    world: World, *, won: float, discordant: int, redraws: int, seed: int
) -> tuple[int, int]:
    """How often the bound lies above the truth, of how many redraws: each with a candidate of
    its own.
    """
    above = 0
    for number in range(redraws):
        random = np.random.default_rng((seed, number, discordant, int(100 * won)))
        change = draw_equal(world, discordant, random, won=won)
        truth = float(overall_gain(answer(world, change, random)).sum())
        drawn = redraw(world, random)
        rows = answer(drawn, change.only(drawn.drawn), random)
        assert rows.champion is not None
        answers = compare_answers(rows, rows.champion)
        above += bound_gain(overall_differences(answers), answers.shares).lower > truth
    return above, redraws


def overall_gain(rows: GateRows) -> np.ndarray:
    """float (phrases,)."""
    assert rows.champion is not None
    return overall_differences(compare_answers(rows, rows.champion))


def measure(*, seed: int, candidates: int, redraws: int) -> Result:
    """Play every scenario and every coverage."""
    progress("fitting two heads a week apart")
    world = demo_world(seed=seed)

    seen = {}
    for name, draw in draw_scenarios(world).items():
        progress(name)
        seen[name] = judge_scenario(world, draw, candidates=candidates, seed=seed, name=name)

    covered = {}
    for won, wanted in COVERED:
        discordant = wanted or world.discordant
        progress(f"coverage: {discordant} discordant phrases, {won:.0%} won")
        covered[discordant, won] = measure_coverage(
            world, won=won, discordant=discordant, redraws=redraws, seed=seed
        )

    real = decide(world.rows, POLICY, seed=seed)
    return Result(
        figures(world, seen, covered, real.kind),
        bars(seen, covered),
        tables(seen, covered),
        f"{len(world.rows.truth):,} test rows, {world.phrases:,} phrases, "
        f"{world.discordant} of them discordant between two real heads a week apart "
        f"(verdict: {real.kind}); "
        f"{candidates} candidates per scenario (the rule before: every {RIVAL_EVERY}th), "
        f"{redraws} redraws",
    )


Covered = dict[tuple[int, float], tuple[int, int]]


def figures(world: World, seen: dict[str, Seen], covered: Covered, real: str) -> dict[str, object]:
    """Counts, for machines."""
    return {
        "discordant": world.discordant,
        "real_heads": real,
        "verdicts": {name: dict(counts.ours) for name, counts in seen.items()},
        "verdicts_before": {name: dict(counts.before) for name, counts in seen.items()},
        "bound_above_truth": {
            f"{n} discordant, {won} won": hits for (n, won), hits in covered.items()
        },
    }


def percent(counts: Counter[str], kind: str) -> float:
    """Share of the verdicts of this kind, in per cent."""
    return 100 * counts[kind] / sum(counts.values())


def bars(seen: dict[str, Seen], covered: Covered) -> list[Bar]:
    """Every figure that was asked for; `undecided` meets none of those with "at least"."""
    ours = {name: counts.ours for name, counts in seen.items()}
    errors = {key: 100 * hits / of for key, (hits, of) in covered.items()}
    many = [error for (discordant, _), error in errors.items() if discordant >= 30]
    return [
        Bar("equal: rejected, %", percent(ours[EQUAL], "reject"), 5),
        Bar("equal: promoted, %", percent(ours[EQUAL], "promote"), 10),
        Bar("equal: kept, %", percent(ours[EQUAL], "keep"), 50, at_least=True),
        Bar("one label broken: rejected, %", percent(ours[BROKEN], "reject"), 90, at_least=True),
        Bar("two points worse: rejected, %", percent(ours[WORSE], "reject"), 90, at_least=True),
        Bar(f"{CORRECTED}: promoted, %", percent(ours[CORRECTED], "promote"), 5),
        Bar("bound above the truth, most, %", max(errors.values()), 7),
        Bar("bound above the truth from 30 phrases, least, %", min(many), 3, at_least=True),
    ]  # fmt: skip


def tables(seen: dict[str, Seen], covered: Covered) -> list[str]:
    """Verdicts by scenario, and the bound's error by number of discordant phrases."""
    verdicts = [
        (
            name,
            *(f"{percent(counts.ours, kind):.1f} %" for kind in KINDS),
            f"{percent(counts.before, 'promote'):.1f} %",
            f"{percent(counts.before, 'reject'):.1f} %",
        )
        for name, counts in seen.items()
    ]
    heads = ("candidate", *KINDS, "rule before: promote", "rule before: reject")
    errors = [
        (number, f"{100 * won:.0f} %", share(hits)) for (number, won), hits in covered.items()
    ]
    return [
        table(heads, verdicts),
        table(("discordant phrases", "won", "95 % bound above the truth (interval)"), errors),
    ]


def main() -> None:
    """Measure and print."""
    parser = options("how often the gate is wrong")
    parser.add_argument("--candidates", type=int, default=500, help="per scenario")
    parser.add_argument("--redraws", type=int, default=2000, help="per coverage")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.candidates = 20
        arguments.redraws = 50
    result = measure(
        seed=arguments.seed, candidates=arguments.candidates, redraws=arguments.redraws
    )
    present(result, title="The gate", packages=("numpy", "scipy"), arguments=arguments)


if __name__ == "__main__":
    main()

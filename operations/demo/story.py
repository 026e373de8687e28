"""The demo story: the whole loop on demo data, from an empty database to a live version that learnt from drift."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.contracts import Verdict
from core.embedded import postmaster
from core.errors import Busy, PerennialError, SettingsError
from core.settings import Settings, require_home
from flows.context import DEMO_MARK, LoopContext, open_context
from flows.snapshot import build_demo
from machine.environment import apply_environment, flow_environment, telemetry_off
from machine.processes import down, up
from monitoring.feedback import import_feedback
from monitoring.windows import effective_window
from operations.demo import traffic, waiting
from operations.demo.summary import write_summary
from pipelines.git_repository import require_committed
from pipelines.model_store import stored_version
from pipelines.promotion import promote
from pipelines.source.demo import EPOCH
from pipelines.source.practice import Scale
from pipelines.source.traffic import Arrival, Traffic

WATCHED = "block"
EXAM_ROWS = 1000
OURS = re.compile(
    rf"{re.escape(DEMO_MARK)}|(journal|caches)(-\d+)?|bentoml|embedders|logs|mlartifacts|models|postgres|prefect|reports|staging|supervisor"
)
"""What Perennial makes in its home; a home that holds anything else is not the demo's to clear."""


class DemoFailed(PerennialError):
    """A part of the story did not go as the loop promises."""

    code = "demo_failed"


@dataclass
class Story:
    """What happened so far: one line a part, and the figures for the summary."""

    settings: Settings
    scale: Scale
    say: Callable[[str], None]
    parts: list[dict[str, Any]] = field(default_factory=list)
    answered: list[traffic.Answered] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def part(self, title: str) -> Iterator[dict[str, str]]:
        """Tell one part: announce it, time it, keep its outcome."""
        self.say(f"{len(self.parts) + 1:>2}. {title} ...")
        started, outcome = time.perf_counter(), {"outcome": "done"}
        yield outcome
        seconds = round(time.perf_counter() - started, 1)
        self.parts.append({"part": title, "outcome": outcome["outcome"], "seconds": seconds})
        self.say(f"    {outcome['outcome']} ({seconds} s)")

    def play(self, arrivals: list[Arrival], classifier: str = WATCHED) -> list[traffic.Answered]:
        """Send arrivals through the service and remember what it answered."""
        answered = traffic.play(self.settings.url_of(classifier), classifier, arrivals)
        self.answered += answered
        return answered


def run_demo(
    settings: Settings, *, scale: Scale = "default", say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Play the story; return its summary (also build/demo/summary.json). The services are left up, unless it is interrupted."""
    settings = settings.model_copy(update={"schedules": False})
    require_committed(settings.repository)
    story = Story(settings, scale, say)
    clear_stage(settings)
    apply_environment(telemetry_off())
    try:
        with open_context(settings) as loop:
            _play(story, loop)
    except KeyboardInterrupt:
        down(settings, report=say)
        raise
    return write_summary(settings, scale=scale, parts=story.parts, figures=story.figures, say=say)


def _play(story: Story, loop: LoopContext) -> None:
    _set_up(story, loop)
    _learn(story, loop)
    start = _calm_traffic(story, loop)
    exam, drifted, before = _drifted_traffic(story, loop, start)
    _late_labels(story, loop, drifted)
    _drift_and_retraining(story, loop, drifted)
    _after(story, [row.arrival for row in exam], before)


def clear_stage(settings: Settings) -> None:
    """Start from nothing: remove what an earlier demo left, and refuse to touch models of yours or a database of yours."""
    mark = settings.home / DEMO_MARK
    if settings.database_url is not None or settings.source_url is not None:
        came = "PERENNIAL_DATABASE_URL or PERENNIAL_SOURCE_URL set"
        raise SettingsError(
            "a database and a source of the demo's own", came=came, do="unset both for the demo"
        )
    if not mark.exists() and settings.models.exists() and any(settings.models.iterdir()):
        raise SettingsError(
            "a home without models for the demo",
            came="one in use",
            do="set PERENNIAL_HOME to an empty folder",
        )
    _refuse_strangers(require_home(settings))
    down(settings, report=lambda _: None)
    if postmaster(settings.home / "postgres") is not None:
        do = "wait for it or end it, then call the demo again"
        raise Busy(
            "a home that nothing works in", came="another command that holds its PostgreSQL", do=do
        )
    shutil.rmtree(settings.home)
    settings.home.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _refuse_strangers(home: Path) -> None:
    """The demo removes its whole home: files that are not of our making stop it."""
    if strangers := sorted(
        entry.name for entry in home.iterdir() if not OURS.fullmatch(entry.name)
    ):
        do = "move them elsewhere, or set PERENNIAL_HOME to an empty folder"
        raise SettingsError(
            f"a home of Perennial's own in {home}, which the demo clears",
            came=", ".join(strangers[:5]),
            do=do,
        )


def _set_up(story: Story, loop: LoopContext) -> None:
    with story.part("Build the source: five years of a coding desk") as told:
        rows = build_demo(loop, scale=story.scale)
        told["outcome"] = f"{rows:,} diagnosis rows in PostgreSQL"
        story.figures["source_rows"] = rows
    with story.part("Start PostgreSQL, Prefect, MLflow, Evidently and the flow runner"):
        up(story.settings)


def _learn(story: Story, loop: LoopContext) -> None:
    apply_environment(flow_environment(story.settings, loop.urls, server=True))
    from flows.retrain import retrain  # Prefect reads its environment when it is imported

    with story.part("Retrain: snapshot, checks, training, verdicts, bento") as told:
        verdicts = retrain(list(loop.params.classifiers), reason="demo", now=EPOCH)
        told["outcome"] = "; ".join(
            f"{name} {_f1(verdict)}, {verdict.kind}" for name, verdict in verdicts.items()
        )
        _require(
            all(verdict.kind == "promote" for verdict in verdicts.values()),
            "every first version promoted",
            told["outcome"],
        )
        story.figures["first_versions"] = {name: _f1(verdict) for name, verdict in verdicts.items()}
    with story.part("Serve: one embedder, one cache, every classifier"):
        up(story.settings)


def _calm_traffic(story: Story, loop: LoopContext) -> datetime:
    window = _window(loop)
    arrivals = list(Traffic(scale=story.scale, seed=1, drift=False).play(EPOCH, 2 * window))
    with story.part(f"Play two windows of {window} ordinary arrivals") as told:
        answered = story.play(arrivals)
        for other in loop.params.classifiers.keys() - {WATCHED}:
            story.play(arrivals[:window], other)
        story.figures["calm_weighted_f1"] = round(traffic.score(answered, WATCHED), 4)
        told["outcome"] = f"weighted F1 of {WATCHED} {story.figures['calm_weighted_f1']}"
    _watch(
        story,
        loop,
        arrivals[-1].occurred_at,
        expected={"steady"},
        title="Watch: is anything drifting?",
    )
    return arrivals[-1].occurred_at


def _drifted_traffic(
    story: Story, loop: LoopContext, start: datetime
) -> tuple[list[traffic.Answered], list[traffic.Answered], float]:
    window = _window(loop)
    arrivals = list(Traffic(scale=story.scale, seed=2, drift=True).play(start, 2 * window))
    with story.part(
        f"Play two windows of {window} drifted arrivals: new words, a new rule, another mix"
    ) as told:
        drifted = story.play(arrivals)
        exam = story.play(
            list(
                Traffic(scale=story.scale, seed=3, drift=True).play(
                    arrivals[-1].occurred_at, EXAM_ROWS
                )
            )
        )
        before = round(traffic.score(exam, WATCHED), 4)
        told["outcome"] = f"weighted F1 of {WATCHED} falls to {before}"
    return exam, drifted, before


def _late_labels(story: Story, loop: LoopContext, drifted: list[traffic.Answered]) -> None:
    with story.part("The right labels arrive late, as feedback") as told:
        file = story.settings.repository / "build" / "demo" / "late_labels.csv"
        traffic.write_late_labels(file, drifted, WATCHED, author="coding desk")
        waiting.until_logged(loop.engine, [row.request_id for row in drifted])
        with loop.engine.begin() as connection:
            counts = import_feedback(connection, file)
        told["outcome"] = f"{counts.accepted:,} accepted, {counts.refused:,} refused"
        _require(counts.refused == 0, "every late label accepted", told["outcome"])


def _drift_and_retraining(story: Story, loop: LoopContext, drifted: list[traffic.Answered]) -> None:
    version, now = loop.champions()[WATCHED].version, drifted[-1].arrival.occurred_at
    _watch(
        story,
        loop,
        now,
        expected={"drift"},
        title="Watch again: the rule calls drift and sends the event",
    )
    with story.part("The automation retrains; the candidate faces the champion") as told:
        verdict = waiting.until_retrained(loop, WATCHED, since=now)
        told["outcome"] = f"{verdict.kind}: {'; '.join(verdict.reasons)}"
        if verdict.kind == "reject" and story.scale == "small":
            told["outcome"] += _promote_by_hand(story, loop, verdict)
        else:
            _require(verdict.kind == "promote", "the retrained version promoted", told["outcome"])
    with story.part("The live service takes the new version, without a restart") as told:
        seconds = waiting.until_served(story.settings.url_of(WATCHED), WATCHED, loop)
        told["outcome"] = (
            f"version {version} -> {loop.champions()[WATCHED].version}, seen {seconds:.1f} s later"
        )
        story.figures["seconds_until_served"] = round(seconds, 2)


def _promote_by_hand(story: Story, loop: LoopContext, verdict: Verdict) -> str:
    """A tenth of the rows is too few to prove that nothing was lost; a person who knows of the drift may still promote."""
    version, rows = verdict.evidence["version"], verdict.evidence["rows"]
    model = stored_version(story.settings.models, classifier=WATCHED, version=version)
    promote(
        loop.engine,
        loop.registry,
        model,
        why=f"by hand: {rows} test rows cannot prove it",
        now=datetime.now(UTC),
    )
    return f". {rows} test rows cannot prove more, so a person promotes version {version}"


def _after(story: Story, exam: list[Arrival], before: float) -> None:
    """The same drifted phrases as before, once more, later; none of them was fed back."""
    span = exam[-1].occurred_at - exam[0].occurred_at
    with story.part(
        "The drifted phrases that were never fed back, answered by the new version"
    ) as told:
        again = story.play(
            [replace(arrival, occurred_at=arrival.occurred_at + span) for arrival in exam]
        )
        after = round(traffic.score(again, WATCHED), 4)
        told["outcome"] = f"weighted F1 of {WATCHED} {before} -> {after}"
        story.figures |= {"drifted_weighted_f1_before": before, "drifted_weighted_f1_after": after}
        _require(after > before, "a better answer after the retraining", told["outcome"])
    story.figures["cache_hit_rate"] = round(
        sum(row.cached for row in story.answered) / len(story.answered), 4
    )
    story.figures["answers"] = len(story.answered)


def _watch(
    story: Story, loop: LoopContext, now: datetime, *, expected: set[str], title: str
) -> None:
    from flows.watch import watch

    with story.part(title) as told:
        waiting.until_logged(loop.engine, [row.request_id for row in story.answered])
        verdict: Verdict = watch([WATCHED], now=now)[WATCHED]
        told["outcome"] = f"{verdict.kind}: {'; '.join(verdict.reasons)}"
        _require(
            verdict.kind in expected,
            f"a verdict of {' or '.join(sorted(expected))}",
            told["outcome"],
        )


def _window(loop: LoopContext) -> int:
    reference = Path(loop.champions()[WATCHED].head_location) / "reference.parquet"
    return effective_window(reference, loop.params.classifier(WATCHED).drift)


def _f1(verdict: Verdict) -> float:
    return round(verdict.evidence.get("candidate_weighted_f1", 0.0), 4)


def _require(held: bool, wanted: str, came: str) -> None:
    if not held:
        raise DemoFailed(wanted, came=came, do="look at the run in the Prefect UI and at var/logs")

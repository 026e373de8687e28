"""The second half of the demo: traffic drifts, feedback arrives, and the loop retrains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from flows.context import LoopContext
from monitoring.labels.feedback import import_feedback
from operations.demo import traffic, waiting
from operations.demo.run import WATCHED, DemoRun
from operations.demo.watching import watch_step, window_size
from pipelines.source.traffic import Arrival, SimulatedTraffic

EXAM_ROWS = 1000


@dataclass(frozen=True)
class DriftedTraffic:
    """Answers that get feedback, and an exam that gets none: the retraining does not see it."""

    answered: list[traffic.Answered]
    exam: list[Arrival]
    exam_score: float

    @property
    def end(self) -> datetime:
        return self.answered[-1].arrival.occurred_at


def play_drifted_traffic(run: DemoRun, context: LoopContext, *, start: datetime) -> DriftedTraffic:
    """Play two windows of drifted traffic, and an exam after them."""
    window = window_size(context)
    arrivals = list(SimulatedTraffic(scale=run.scale, seed=2, drift=True).play(start, 2 * window))
    end = arrivals[-1].occurred_at
    exam = list(SimulatedTraffic(scale=run.scale, seed=3, drift=True).play(end, EXAM_ROWS))

    drift = "new words, a new coding rule, another mix of labels"
    with run.step(f"Play two windows of {window} phrases with drift: {drift}") as step:
        answered = run.play(arrivals)
        score = round(traffic.score(run.play(exam), WATCHED), 4)
        step.outcome = f"weighted F1 of {WATCHED} falls to {score}"
    return DriftedTraffic(answered, exam, score)


def import_late_labels(run: DemoRun, context: LoopContext, drifted: DriftedTraffic) -> None:
    """Import the correct labels of the drifted answers as feedback."""
    file = run.settings.repository / "build" / "demo" / "late_labels.csv"
    with run.step("Import the correct labels, which arrive late, as feedback") as step:
        traffic.write_late_labels(file, drifted.answered, WATCHED, author="coding desk")
        waiting.until_logged(context.engine, [row.request_id for row in drifted.answered])
        with context.engine.begin() as connection:
            counts = import_feedback(connection, file, received_at=drifted.end)
        step.outcome = f"{counts.accepted:,} accepted, {counts.refused:,} refused"
        step.require(counts.refused == 0, "every late label accepted")


def detect_drift(run: DemoRun, context: LoopContext, drifted: DriftedTraffic) -> None:
    """Watch again: the rule reports drift and sends the event that starts a retraining."""
    title = "Watch again: the drift rule reports drift and sends an event"
    watch_step(run, context, drifted.end, expected={"drift"}, title=title)


def retrain_and_serve(run: DemoRun, context: LoopContext, drifted: DriftedTraffic) -> None:
    """Wait for the retraining that the event started, and for its version to be served."""
    version = drifted.answered[-1].version
    title = "The automation retrains, and the candidate is compared with the champion"
    with run.step(title) as step:
        verdict = waiting.until_retrained(context, WATCHED, since=drifted.end)
        step.outcome = f"{verdict.kind}: {'; '.join(verdict.reasons)}"
        step.require(verdict.kind == "promote", "the retrained version promoted")
        step.require("drift_gain" in verdict.evidence, "the gain on the rows since the drift")
        run.figures["drift_accuracy_as_served"] = verdict.evidence["drift_accuracy_before"]
        run.figures["drift_accuracy_from_now_on"] = verdict.evidence["drift_accuracy_after"]

    with run.step("The running service follows the new champion without a restart") as step:
        seconds = waiting.until_served(run.settings.url_of(WATCHED), WATCHED, context)
        champion = context.champions()[WATCHED].version
        step.outcome = f"version {version} -> {champion}, served {seconds:.1f} s later"
        run.figures["seconds_until_served"] = round(seconds, 2)


def play_again(run: DemoRun, drifted: DriftedTraffic) -> datetime:
    """Play the exam once more, at a later time, for the new champion; return its end."""
    span = drifted.exam[-1].occurred_at - drifted.exam[0].occurred_at
    later = [replace(row, occurred_at=row.occurred_at + span) for row in drifted.exam]
    before = drifted.exam_score
    with run.step("The new version answers drifted phrases that had no feedback") as step:
        after = round(traffic.score(run.play(later), WATCHED), 4)
        step.outcome = f"weighted F1 of {WATCHED}: {before} -> {after}"
        run.figures |= {"drifted_weighted_f1_before": before, "drifted_weighted_f1_after": after}
        step.require(after > before, "a better score after the retraining")

    cached = sum(row.cached for row in run.answered)
    run.figures["cache_hit_rate"] = round(cached / len(run.answered), 4)
    run.figures["answers"] = len(run.answered)
    return later[-1].occurred_at


def fill_review_queue(run: DemoRun, context: LoopContext, now: datetime) -> None:
    """Ask people for labels of the last week, which the console's clock finds too old."""
    from flows.review import Embedders, keep_phrases, refill_review

    with run.step("Fill the review queue of the console") as step:
        waiting.until_logged(context.engine, run.request_ids())
        embedders = Embedders(context)
        added = refill_review(context, WATCHED, now=now, embedders=embedders).added
        keep_phrases(context, now=now, embedders=embedders)
        step.outcome = f"{added:,} phrases wait for a person at {run.settings.console_url}"
        step.require(added > 0, "phrases to review")

"""The first half of the demo: build the source, train, and serve traffic without drift."""

from __future__ import annotations

from datetime import datetime

from core.contracts import Verdict
from flows.context import LoopContext
from flows.snapshot import build_demo
from machine.environment import apply_environment, flow_environment
from machine.processes import up
from operations.demo import traffic
from operations.demo.run import WATCHED, DemoRun, log_line
from operations.demo.watching import watch_step, window_size
from pipelines.source.practice import EPOCH
from pipelines.source.traffic import SimulatedTraffic


def build_source(run: DemoRun, context: LoopContext) -> None:
    """Build the demo's source database and start the programs of the machine."""
    with run.step("Build the source database: five years of coded diagnoses") as step:
        rows = build_demo(context, scale=run.scale)
        step.outcome = f"{rows:,} diagnoses in PostgreSQL"
        run.figures["source_rows"] = rows
    with run.step("Start PostgreSQL, Prefect, MLflow, Evidently and the flow runner"):
        up(run.settings, report=log_line)


def train_first_versions(run: DemoRun, context: LoopContext) -> None:
    """Train every classifier and serve the first champions."""
    apply_environment(flow_environment(run.settings, context.urls, server=True))
    from flows.retrain import retrain  # Prefect reads its environment when it is imported

    with run.step("Retrain: snapshot, data checks, training, verdicts, bento") as step:
        verdicts = retrain(list(context.params.classifiers), reason="demo", now=EPOCH)
        scores = {name: _weighted_f1(verdict) for name, verdict in verdicts.items()}
        step.outcome = "; ".join(
            f"{name} {scores[name]}, {verdict.kind}" for name, verdict in verdicts.items()
        )
        promoted = all(verdict.kind == "promote" for verdict in verdicts.values())
        step.require(promoted, "every first version promoted")
        run.figures["first_versions"] = scores
    with run.step("Serve every classifier with one embedder and one cache"):
        up(run.settings, report=log_line)


def play_steady_traffic(run: DemoRun, context: LoopContext) -> datetime:
    """Play two windows without drift and watch them; return the time of the last phrase."""
    window = window_size(context)
    arrivals = list(SimulatedTraffic(scale=run.scale, seed=1, drift=False).play(EPOCH, 2 * window))
    with run.step(f"Play two windows of {window} phrases without drift") as step:
        answered = run.play(arrivals)
        for other in context.params.classifiers.keys() - {WATCHED}:
            run.play(arrivals[:window], other)
        score = round(traffic.score(answered, WATCHED), 4)
        run.figures["calm_weighted_f1"] = score
        step.outcome = f"weighted F1 of {WATCHED}: {score}"

    end = arrivals[-1].occurred_at
    watch_step(run, context, end, expected={"steady"}, title="Watch for drift: none is expected")
    return end


def _weighted_f1(verdict: Verdict) -> float:
    return round(float(verdict.evidence.get("candidate_weighted_f1", 0.0)), 4)

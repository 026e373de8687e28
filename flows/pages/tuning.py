"""The page of a tuning in the Prefect UI: result, best trials, change of params.yaml."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact

from flows.pages.artifacts import artifact_key
from flows.pages.markdown import table
from flows.tuning import Tuning
from pipelines.tuning.outcome import StudyOutcome, words

SHOWN_TRIALS = 10


def show_tuning(tuning: Tuning) -> None:
    """Show one page per classifier whose block asks for tuning."""
    create_markdown_artifact(
        render_tuning(tuning),
        key=artifact_key("tuning", tuning.classifier),
        description=f"{tuning.classifier}: {tuning.lines[-1]}",
    )


def render_tuning(tuning: Tuning) -> str:
    """Return Markdown."""
    parts = [
        f"# Tuning of {tuning.classifier}",
        f"Why: {tuning.why}." if tuning.why else "",
        "\n".join(f"- {line}" for line in tuning.lines),
        _change(tuning),
        _best_trials(tuning.search) if tuning.search else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _change(tuning: Tuning) -> str:
    if not tuning.commit:
        return ""
    return (
        f"The branch of this run begins with the change below. Your params.yaml has it after "
        f"`git cherry-pick {tuning.commit[:12]}`; until then each retraining carries it over.\n\n"
        f"```diff\n{tuning.diff}\n```"
    )


def _best_trials(search: StudyOutcome) -> str:
    scored = [trial for trial in search.trials if trial.score is not None]
    scored.sort(key=lambda trial: (-(trial.score or 0.0), trial.number))
    rows = [
        (str(trial.number), words(trial.settings), f"{trial.score:.4f}")
        for trial in scored[:SHOWN_TRIALS]
    ]
    score = f"{search.favour} F1 of the slice that chose"
    return table(("trial", "settings", score), rows)

"""What a search found, and whether it changes the settings: values and pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.params.heads import Favour
from pipelines.tuning.trials import Confirmation

Settings = Mapping[str, float | int]


@dataclass(frozen=True)
class TriedSettings:
    """One trial that ended. `score` is None for a pruned one."""

    number: int
    settings: Settings
    score: float | None


@dataclass(frozen=True)
class StudyOutcome:
    """Every trial of a study, and the comparison of its best settings with the present ones.

    `confirmation` is None when no trial but the present settings was completed, or when those are
    the best. Scores and gain are in the F1 that the block favours.
    """

    present: Settings
    best: Settings
    trials: tuple[TriedSettings, ...]
    confirmation: Confirmation | None
    favour: Favour = "weighted"

    @property
    def completed(self) -> int:
        return sum(trial.score is not None for trial in self.trials)

    @property
    def chosen(self) -> Settings:
        """The best settings when their gain is proved, else the present ones."""
        is_proved = self.confirmation is not None and self.confirmation.lower > 0
        return self.best if is_proved else self.present

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read_search(content: Mapping[str, Any]) -> StudyOutcome:
    """Return what `as_json` wrote."""
    confirmation = content["confirmation"]
    return StudyOutcome(
        content["present"],
        content["best"],
        tuple(TriedSettings(**trial) for trial in content["trials"]),
        Confirmation(**confirmation) if confirmation else None,
        content.get("favour", "weighted"),  # earlier releases scored by weighted F1 alone
    )


def sentences(search: StudyOutcome) -> list[str]:
    """Return the result in words: what was tried, what is best, what follows."""
    pruned = len(search.trials) - search.completed
    tried = f"{search.completed} settings tried to the end, {pruned} pruned"
    confirmation = search.confirmation
    if not search.completed and confirmation is None:
        return [tried, "the present settings stay: no trial was completed"]
    if confirmation is None:
        return [tried, f"the present settings stay: none is better than {words(search.present)}"]
    gain = (
        f"gain of {words(search.best)} over {words(search.present)}: {confirmation.gain:+.4f} "
        f"{search.favour} F1 ({confirmation.lower:+.4f} to {confirmation.upper:+.4f}) on "
        f"{confirmation.phrases:,} training phrases that chose nothing"
    )
    if search.chosen == search.present:
        return [tried, gain, "the present settings stay: the gain is not proved"]
    return [tried, gain, f"chosen: {words(search.chosen)}"]


def words(settings: Settings) -> str:
    """Return such as "C 1.5, ngram_weight 0.7"."""
    return ", ".join(f"{name} {value:g}" for name, value in settings.items())

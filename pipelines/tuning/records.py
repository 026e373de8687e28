"""Facts stored with a study: its question, and its conclusion. The rule of `if_stale`.

Optuna stores these facts beside the trials, so a tuning has one home.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna

from core.params.heads import Favour, Head
from pipelines.tuning.space import SPACE, chosen_settings, present_settings
from pipelines.tuning.study import open_study, set_facts

STALE_DAYS = 90
STALE_GROWTH = 1.5
"""So many times the rows of the last tuning."""
BROUGHT_SETTINGS = 5
"""The best settings of the study before are the first trials of a new one."""


@dataclass(frozen=True)
class LastTuning:
    """The newest tuning of a classifier that reached a result.

    `before` is the head as params.yaml had it, `after` with the chosen settings; both as mappings.
    `rows` is the number of training rows, `favour` the F1 that chose.
    """

    at: datetime
    rows: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    favour: Favour = "weighted"


def study_name(
    classifier: str,
    head: Head,
    *,
    rows: Path,
    embedder_id: str,
    seed: int,
    favour: Favour = "weighted",
) -> str:
    """Return the name of the study of these training rows, this head, what it favours, and the
    seed.

    The same question finds the same study, also after a kill.
    """
    limits = {name: vars(limit) for name, limit in SPACE.get(head.kind, {}).items()}
    # Trials of earlier releases under another `favour` have weighted scores: those are not mixed.
    scored = favour if favour == "weighted" else f"{favour} F1"
    question = json.dumps([head.model_dump(), limits, embedder_id, seed, scored], sort_keys=True)
    digest = hashlib.sha256(rows.read_bytes() + question.encode()).hexdigest()
    return f"{classifier}-{digest[:12]}"


def begin_study(
    storage: optuna.storages.BaseStorage,
    name: str,
    *,
    classifier: str,
    head: Head,
    seed: int,
    now: datetime,
) -> optuna.Study:
    """Open the study. In a new one, queue the present settings and the best of the study before."""
    earlier = _newest_study(storage, classifier, head)
    study = open_study(storage, name, seed=seed)
    if "classifier" not in study.user_attrs:
        set_facts(study, {"classifier": classifier, "kind": head.kind, "begun_at": now.isoformat()})
        study.enqueue_trial(present_settings(head))
        for settings in _best_of(earlier):
            study.enqueue_trial(settings, skip_if_exists=True)
    return study


def record_conclusion(
    study: optuna.Study,
    *,
    before: Head,
    after: Head,
    rows: int,
    now: datetime,
    favour: Favour = "weighted",
) -> None:
    """Store what the study concluded."""
    set_facts(
        study,
        {
            "concluded_at": now.isoformat(),
            "rows": rows,
            "before": before.model_dump(),
            "after": after.model_dump(),
            "favour": favour,
        },
    )


def last_tuning(storage: optuna.storages.BaseStorage, classifier: str) -> LastTuning | None:
    """Return the newest tuning of the classifier that concluded."""
    concluded = [
        facts for facts in _facts_of_studies(storage, classifier) if "concluded_at" in facts
    ]
    if not concluded:
        return None
    newest = max(concluded, key=lambda facts: datetime.fromisoformat(facts["concluded_at"]))
    return LastTuning(
        datetime.fromisoformat(newest["concluded_at"]),
        newest["rows"],
        newest["before"],
        newest["after"],
        newest.get("favour", "weighted"),  # earlier releases chose by weighted F1 alone
    )


def why_stale(
    last: LastTuning | None,
    *,
    head: Head,
    rows: int,
    now: datetime,
    favour: Favour = "weighted",
) -> str:
    """Return why the settings are stale, "" when they are not.

    They are when there was no tuning, the kind of head or `favour` changed, the last tuning is
    older than STALE_DAYS, or the training rows grew to STALE_GROWTH times their number.
    """
    if last is None:
        return "never tuned"
    if last.before["kind"] != head.kind:
        return f"the head was {last.before['kind']}"
    if last.favour != favour:
        return f"tuned for {last.favour} F1, and the block favours {favour} F1"
    if now - last.at > timedelta(days=STALE_DAYS):
        return f"tuned {(now - last.at).days} days ago"
    if rows >= STALE_GROWTH * last.rows:
        return f"{rows:,} training rows, {last.rows:,} at the last tuning"
    return ""


def carried_settings(last: LastTuning, head: Head) -> dict[str, float | int]:
    """Return the settings that the last tuning chose, when params.yaml has not taken them yet.

    Empty when it has, or when a person has set others since.
    """
    if head.model_dump() != dict(last.before) or last.after == last.before:
        return {}
    return {name: last.after[name] for name in present_settings(head)}


def _facts_of_studies(
    storage: optuna.storages.BaseStorage, classifier: str
) -> list[Mapping[str, Any]]:
    return [
        {**study.user_attrs, "name": study.study_name}
        for study in storage.get_all_studies()
        if study.user_attrs.get("classifier") == classifier
    ]


def _newest_study(
    storage: optuna.storages.BaseStorage, classifier: str, head: Head
) -> optuna.Study | None:
    own = [
        facts
        for facts in _facts_of_studies(storage, classifier)
        if facts["kind"] == head.kind and "begun_at" in facts
    ]
    if not own:
        return None
    newest = max(own, key=lambda facts: datetime.fromisoformat(facts["begun_at"]))
    return optuna.load_study(study_name=newest["name"], storage=storage)


def _best_of(study: optuna.Study | None) -> list[dict[str, float | int]]:
    if study is None:
        return []
    states = (optuna.trial.TrialState.COMPLETE,)
    trials = study.get_trials(deepcopy=False, states=states)
    trials.sort(key=lambda trial: (-(trial.value or 0.0), trial.number))
    return [chosen_settings(trial.params) for trial in trials[:BROUGHT_SETTINGS]]

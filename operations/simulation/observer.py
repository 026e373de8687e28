"""The oracle's notes on a run: the value of each day's answers, and the effect of each label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from operations.simulation.answering import Answering
from operations.simulation.arrivals import Arrivals, expected_weighted_f1
from operations.simulation.people import PersonLabel
from operations.simulation.production import Production
from operations.simulation.world import EPOCH, World

LONG_PAST = 10
"""Labels that a phrase must have had, 95 % of them agreeing, for its past to count as long."""
_AGREEING = 0.95
PASTS = ("corrections_fresh", "corrections_short", "corrections_mixed", "corrections_long")
"""Corrections by what was known of the phrase: no other label, few labels, several, a long past."""
_NEW_RULE_COUNTS = (3, 5)
_KNOWN_RULE_PHRASE = 5


@dataclass
class Probe:
    """A question to be asked later: does the phrase get this label?"""

    cleaned: str
    label: str
    since: datetime


@dataclass
class Observer:
    """Fills `notes`, which is JSON."""

    world: World
    past: Mapping[str, Counter[str]]
    last_seen: Mapping[str, int]
    notes: dict[str, Any] = field(default_factory=dict)
    _judging: dict[tuple[bool, ...], Arrivals] = field(default_factory=dict)
    _corrections: list[Probe] = field(default_factory=list)
    _corrections_by_past: dict[str, list[Probe]] = field(default_factory=dict)
    _received: dict[str, Counter[str]] = field(default_factory=dict)
    _corrections_next: list[Probe] = field(default_factory=list)
    _mistakes: list[Probe] = field(default_factory=list)
    _rule_labels: dict[str, list[tuple[datetime, bool]]] = field(default_factory=dict)
    _rule_asked: set[tuple[str, int]] = field(default_factory=set)
    _fits_seen: int = 0
    _truth: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lists = ("f1", "calm_f1", "two_labels_lost", "fits")
        self.notes |= {name: [] for name in lists}
        self.notes["events"] = {str(number): {} for number in range(len(self.world.calendar))}
        self.notes["labels"] = Counter()
        names = ["corrections_day", *PASTS, "corrections_next", "mistakes"]
        names += [f"rule_{count}" for count in _NEW_RULE_COUNTS]
        self.notes["probes"] = {name: [0, 0] for name in names}
        self._number = {label: place for place, label in enumerate(self.world.labels)}

    def judge_day(self, day: int, production: Production) -> None:
        """Note what the answers at the end of a day are worth, and ask what is due."""
        rows = self._rows_on(day)
        assert production.answering is not None
        answers = self._numbers(production.answering, rows)
        right = rows.chance_right(answers)
        calm = rows.event < 0
        two = calm & (rows.other >= 0)
        self.notes["f1"].append(round(expected_weighted_f1(rows, answers), 5))
        calm_f1 = expected_weighted_f1(rows.only(calm), answers[calm])
        self.notes["calm_f1"].append(round(calm_f1, 5))
        lost = float((rows.share[two] - right[two]).mean()) if two.any() else 0.0
        self.notes["two_labels_lost"].append(round(lost, 5))
        for number in np.unique(rows.event[~calm]).tolist():
            error = float(1 - right[rows.event == number].mean())
            self.notes["events"][str(number)][str(day)] = round(error, 4)
        self._note_fits(day, production)

    def note_labels(self, given: Sequence[PersonLabel], answers: Answering) -> None:
        """Note labels at their receipt, before anything learnt them."""
        for label in given:
            self.notes["labels"][label.kind] += 1
            self._note_rule_label(label.cleaned, label.label, label.received_at, person=True)
            answered = answers.answer([label.cleaned])[0][0]
            if label.correct and label.kind == "correction":
                self._plan_correction(label)
            self._labels_of(label.cleaned)[label.label] += 1
            long_past = self._long_past(label.cleaned)
            if not label.correct and long_past == answered and long_past != label.label:
                probe = Probe(label.cleaned, label.label, label.received_at)
                self._mistakes.append(probe)

    def note_source(self, cleaned: str, label: str, at: datetime) -> None:
        """Note a label of the source when it arrives."""
        self._note_rule_label(cleaned, label, at, person=False)
        self._labels_of(cleaned)[label] += 1

    def _labels_of(self, cleaned: str) -> Counter[str]:
        """How often the phrase had each label, the past and all that was received since."""
        if cleaned not in self._received:
            self._received[cleaned] = Counter(self.past.get(cleaned, ()))
        return self._received[cleaned]

    def ask(self, production: Production) -> None:
        """Ask every question that is due now."""
        probes = self.notes["probes"]
        now = production.now
        day_ago = now - timedelta(days=1)
        self._corrections = self._answer_due(
            self._corrections, production, probes["corrections_day"], until=day_ago
        )
        for past, waiting in self._corrections_by_past.items():
            self._corrections_by_past[past] = self._answer_due(
                waiting, production, probes[past], until=day_ago
            )
        learnt = production.learnt_labels_at or EPOCH
        self._corrections_next = self._answer_due(
            self._corrections_next, production, probes["corrections_next"], until=learnt
        )
        self._mistakes = self._answer_due(
            self._mistakes, production, probes["mistakes"], until=learnt
        )
        self._ask_rules(production)

    def _answer_due(
        self, waiting: list[Probe], production: Production, counts: list[int], *, until: datetime
    ) -> list[Probe]:
        due = [probe for probe in waiting if probe.since <= until]
        if due:
            answers = production.answer([probe.cleaned for probe in due])
            for probe, (label, _) in zip(due, answers, strict=True):
                counts[0] += label == probe.label
                counts[1] += 1
        return [probe for probe in waiting if probe.since > until]

    def _plan_correction(self, label: PersonLabel) -> None:
        """Of phrases that come again, and whose label is the one that is right most often."""
        day = (label.received_at - EPOCH).days + 1
        comes_again = self.last_seen.get(label.cleaned, -1) > day
        if comes_again and self._best_label(label.cleaned) == label.label:
            probe = Probe(label.cleaned, label.label, label.received_at)
            self._corrections.append(probe)
            past = past_of_correction(self._labels_of(label.cleaned), label.label)
            self._corrections_by_past.setdefault(past, []).append(probe)
            self._corrections_next.append(probe)

    def _best_label(self, cleaned: str) -> str | None:
        """What the oracle would answer; `learn_truth` keeps it up to date."""
        return self._truth.get(cleaned)

    def learn_truth(self, arrivals: Arrivals) -> None:
        """Note the right label of each phrase, and which phrases a new rule concerns."""
        for row, cleaned in enumerate(arrivals.cleaned.tolist()):
            label = self.world.labels[arrivals.label[row]]
            self._truth[cleaned] = label
            number = int(arrivals.event[row])
            if number >= 0 and self.world.calendar[number].kind == "rule":
                past = self.past.get(cleaned)
                if past is not None and past.total() >= _KNOWN_RULE_PHRASE:
                    self._rule_labels.setdefault(cleaned, [])

    def _note_rule_label(self, cleaned: str, label: str, at: datetime, *, person: bool) -> None:
        if cleaned in self._rule_labels and self._truth[cleaned] == label:
            self._rule_labels[cleaned].append((at, person))

    def _ask_rules(self, production: Production) -> None:
        """Once the policy has learnt 3 (5) agreeing labels of a phrase for the first time."""
        learnt_labels = production.learnt_labels_at or EPOCH
        learnt_source = production.learnt_source_at or EPOCH
        for cleaned, labels in self._rule_labels.items():
            known = sum(at <= (learnt_labels if person else learnt_source) for at, person in labels)
            for count in _NEW_RULE_COUNTS:
                if known >= count and (cleaned, count) not in self._rule_asked:
                    self._rule_asked.add((cleaned, count))
                    counts = self.notes["probes"][f"rule_{count}"]
                    counts[0] += production.answer([cleaned])[0][0] == self._truth[cleaned]
                    counts[1] += 1

    def _long_past(self, cleaned: str) -> str | None:
        """The label of a phrase with a long, agreeing past that is still right."""
        past = self.past.get(cleaned)
        if past is None or past.total() < LONG_PAST:
            return None
        label, rows = past.most_common(1)[0]
        agreeing = rows >= _AGREEING * past.total() and self._truth.get(cleaned) == label
        return label if agreeing else None

    def _note_fits(self, day: int, production: Production) -> None:
        """What a candidate truly gains over what answered before, memory included."""
        for fit in production.fits[self._fits_seen :]:
            rows = self._rows_on(day)
            gain = None
            if fit.before is not None:
                before = expected_weighted_f1(rows, self._numbers(fit.before, rows))
                after = expected_weighted_f1(rows, self._numbers(fit.candidate, rows))
                gain = round(after - before, 5)
            note = {
                "day": day,
                "reason": fit.reason,
                "kind": fit.kind,
                "gain": gain,
                "why": list(fit.why),
                "promoted": fit.promoted,
                "began": (fit.began - EPOCH).days if fit.began else None,
            }
            self.notes["fits"].append(note)
        self._fits_seen = len(production.fits)

    def _rows_on(self, day: int) -> Arrivals:
        key = tuple(event.active(day) for event in self.world.calendar)
        if key not in self._judging:
            self._judging[key] = self.world.judging(day)
        return self._judging[key]

    def _numbers(self, answering: Answering, rows: Arrivals) -> np.ndarray:
        answers = answering.answer(rows.cleaned.tolist())
        return np.array([self._number.get(label, -1) for label, _ in answers])


def past_of_correction(known: Counter[str], label: str) -> str:
    """Name what was known of a phrase when a correction to `label` came: one of PASTS.

    Only against a long, agreeing past a right correction must not decide alone: nothing tells it
    from a wrong one.
    """
    if not known.total() - known[label]:
        return "corrections_fresh"
    if known.total() < LONG_PAST:
        return "corrections_short"
    frequent, count = known.most_common(1)[0]
    agreeing = frequent != label and count >= _AGREEING * known.total()
    return "corrections_long" if agreeing else "corrections_mixed"

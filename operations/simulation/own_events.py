"""What an event is among one's own phrases: which are relabelled, and which new phrases appear."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from operations.simulation.events import RELABELLING, Event
from operations.simulation.phrasebook import Phrasebook
from operations.simulation.rulebook import Rulebook, fill_share
from pipelines.model.text import clean_phrase

_COMMON = 0.004
_RULE = 0.0008
"""Least share of the traffic that phrases of a label and a first word make up, for a new rule."""
_RARE = 0.003
_SEASON_LABELS = 6
_TOPIC_LABELS = 3
_TOPIC_SHARE = 0.05
_TOPIC_ROWS = 20
LOCAL_NAMES = 40
_LETTERS = 4


@dataclass(frozen=True, eq=False)
class Strangers:
    """Phrases that an event brings: numbers into the phrasebook, as often as they come.

    `names` is what they are called from now on, None where they keep their names.
    """

    phrases: np.ndarray
    names: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class OwnEvents:
    """The events that these phrases allow, with what each brings.

    Attributes
    ----------
    strangers : of each event that replaces rows, by its number; not of a broken client
    held_out : bool (phrases,), those that nobody saw before the topic begins
    left_out : kinds that these phrases do not allow
    """

    calendar: tuple[Event, ...]
    rulebook: Rulebook
    strangers: dict[int, Strangers]
    held_out: np.ndarray
    left_out: tuple[str, ...]


class _Draft:
    """The events at work; `taken` phrases are those that no other event may have."""

    def __init__(self, book: Phrasebook, random: np.random.Generator) -> None:
        self.book = book
        self.random = random
        self.names = list(book.labels)
        newest = book.phrase[book.newest]
        self.frequency = np.bincount(newest, minlength=len(book.phrases)) / max(1, len(newest))
        self.taken = book.other >= 0
        self.held_out = np.zeros(len(book.phrases), bool)

    @property
    def free_frequency(self) -> np.ndarray:
        return np.where(self.taken, 0.0, self.frequency)

    @property
    def common(self) -> np.ndarray:
        """Labels that are asked for, the frequent ones where there are several."""
        shares = np.bincount(self.book.label, self.free_frequency, len(self.book.labels))
        common = np.flatnonzero(shares > _COMMON)
        return common if len(common) > 1 else np.flatnonzero(shares > 0)


def draw_own_events(book: Phrasebook, *, calendar: Iterable[Event], seed: int) -> OwnEvents:
    """Draw what each event of the calendar changes; events that are impossible are left out."""
    draft = _Draft(book, np.random.default_rng((seed, 13)))
    planned = tuple(calendar)
    effects = {event.kind: _effect(draft, event) for event in _topic_first(planned)}
    kept = tuple(event for event in planned if effects[event.kind] is not None)
    brought = [(number, event, effects[event.kind]) for number, event in enumerate(kept)]
    changes = [
        (number, event, new) for number, event, new in brought if isinstance(new, np.ndarray)
    ]
    rulebook = Rulebook(
        labels=tuple(draft.names),
        label=book.label,
        other=book.other,
        share=book.share,
        changes=tuple(changes),
        season=np.empty(0, int),
    )
    strangers = {number: new for number, _, new in brought if isinstance(new, Strangers)}
    left_out = tuple(event.kind for event in planned if effects[event.kind] is None)
    return OwnEvents(kept, rulebook, strangers, draft.held_out, left_out)


def _topic_first(calendar: Iterable[Event]) -> list[Event]:
    """What nobody saw before can be part of no other event."""
    return sorted(calendar, key=lambda event: event.kind != "topic")


def _effect(draft: _Draft, event: Event) -> np.ndarray | Strangers | bool | None:
    """New labels (phrases,), strangers, True for an event without either; None: impossible."""
    if event.kind in RELABELLING:
        new = _new_rule(draft, event.size) if event.kind == "rule" else _split(draft, event.size)
        draft.taken |= new >= 0
        return new if (new >= 0).any() else None
    if event.kind not in _BRINGING:
        return True
    brought = _BRINGING[event.kind](draft)
    return brought if len(brought.phrases) else None


def _first_words(phrases: np.ndarray) -> np.ndarray:
    words = np.array([phrase.partition(" ")[0] for phrase in phrases.tolist()], dtype=object)
    return np.unique(words, return_inverse=True)[1]


def _new_rule(draft: _Draft, size: float) -> np.ndarray:
    """Phrases of a label that begin alike move to another common label, until they are `size`."""
    words = _first_words(draft.book.phrases)
    group = np.unique(draft.book.label * (words.max() + 1) + words, return_inverse=True)[1]
    chosen = _filled(draft, group, size=size, least=_RULE)
    if not chosen:
        group = np.arange(len(group))
        chosen = _filled(draft, group, size=size, least=0.0)
    new = np.full(len(group), -1)
    common = draft.common
    for number in chosen:
        members = np.flatnonzero((group == number) & ~draft.taken)
        elsewhere = common[common != draft.book.label[members[0]]]
        if len(elsewhere):
            new[members] = elsewhere[draft.random.integers(len(elsewhere))]
    return new


def _filled(draft: _Draft, group: np.ndarray, *, size: float, least: float) -> list[int]:
    shares = np.bincount(group, draft.free_frequency)
    shares_present = np.where(shares > 0, shares, -1.0)
    return fill_share(shares_present, size=size, least=least, random=draft.random)


def _split(draft: _Draft, size: float) -> np.ndarray:
    """Every second group of phrases that begin alike gets a new label, until half of `size` has.

    Where all groups are too large for it, every second phrase.
    """
    new = _split_groups(draft, size, _first_words(draft.book.phrases))
    return new if (new >= 0).any() else _split_groups(draft, size, np.arange(len(new)))


def _split_groups(draft: _Draft, size: float, group: np.ndarray) -> np.ndarray:
    """The groups of a label are ranked by frequency."""
    new = np.full(len(group), -1)
    moved = 0.0
    for label in draft.random.permutation(draft.common).tolist():
        members = np.flatnonzero((draft.book.label == label) & ~draft.taken)
        own, place = np.unique(group[members], return_inverse=True)
        weight = np.bincount(place, draft.free_frequency[members], len(own))
        for number in np.argsort(-weight, kind="stable")[1::2].tolist():
            if moved + weight[number] <= 0.55 * size and weight[number] > 0:
                new[members[place == number]] = len(draft.names)
                moved += weight[number]
        if (new == len(draft.names)).any():
            draft.names.append(f"{draft.names[label]}.2")
        if moved >= 0.45 * size:
            break
    return new


def _topic(draft: _Draft) -> Strangers:
    """Labels of few rows, which are taken out of the past; never one of only two labels."""
    book = draft.book
    rows = np.bincount(book.recorded, minlength=len(book.labels))
    share = rows / rows.sum()
    fit = np.flatnonzero((rows >= _TOPIC_ROWS) & (share <= _TOPIC_SHARE))
    if not len(fit):
        fit = np.argsort(rows, kind="stable")[:1]
    most = max(1, len(book.labels) // 4) if len(book.labels) > 2 else 0
    held = draft.random.permutation(fit)[: min(_TOPIC_LABELS, most)]
    draft.held_out = np.isin(book.label, held)
    draft.taken = draft.taken | draft.held_out
    draft.frequency = np.where(draft.held_out, 0.0, draft.frequency)
    return Strangers(book.phrase[draft.held_out[book.phrase]])


def _season(draft: _Draft) -> Strangers:
    """Phrases of rare labels, of all rows, each of the labels as often."""
    book = draft.book
    free = ~draft.held_out
    rows = np.bincount(book.label[book.phrase], free[book.phrase], len(book.labels))
    present = np.flatnonzero(rows > 0)
    rare = present[rows[present] < _RARE * rows.sum()]
    if not len(rare) and len(present) > 1:
        rare = present[np.argsort(rows[present], kind="stable")][:1]
    chosen = draft.random.permutation(rare)[:_SEASON_LABELS]
    of_row = np.isin(book.label[book.phrase], chosen) & free[book.phrase]
    brought = book.phrase[of_row]
    weight = 1 / rows[book.label[brought]]
    ladder = np.cumsum(weight) / max(weight.sum(), 1e-12)
    even = (np.arange(len(brought)) + 0.5) / max(1, len(brought))
    return Strangers(brought[np.searchsorted(ladder, even)])


def _names(draft: _Draft) -> Strangers:
    """Short names of frequent phrases, the first of them most often: rank k has weight 1 / k."""
    known = set(draft.book.phrases.tolist())
    names: dict[str, int] = {}
    for phrase in np.argsort(-draft.free_frequency, kind="stable").tolist():
        if len(names) == LOCAL_NAMES or draft.free_frequency[phrase] == 0:
            break
        name = short_name(draft.book.phrases[phrase])
        if name and clean_phrase(name) not in known:
            names.setdefault(name, phrase)
    times = [max(1, round(LOCAL_NAMES / rank)) for rank in range(1, len(names) + 1)]
    phrases = np.repeat(np.array(list(names.values()), int), times)
    return Strangers(phrases, np.repeat(np.array(list(names), dtype=object), times))


def short_name(phrase: str) -> str:
    """Initials of three words or more, else a few letters: "lost card" becomes "LOSCAR"."""
    words = re.findall(r"[^\W\d_]+", phrase)
    if len(words) >= 3:
        return "".join(word[0] for word in words).upper()
    parts = [word[: _LETTERS - 1] for word in words if len(word) >= _LETTERS]
    return "".join(parts).upper()


_BRINGING = {"topic": _topic, "season": _season, "names": _names}

"""Parts of the test rows in which mistakes may be frequent: words, lengths, regions, times, kinds.

The unit is a phrase, because the same phrase gets the same answer again and again. A phrase is
mistaken in a slice when most of its rows there are answered wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.errors.rows import AnsweredRows
from pipelines.model.arrays import Bool, Int64, Strings

LEAST_PHRASES = 5
"""Slices of fewer phrases are not looked at."""
ANSWERS = "answers"
"""The test rows, as the judged head beside the memory answers them."""
NEW_PHRASES = "new phrases"
"""Phrases held out from a head: the mistakes that a memory does not hide."""
WORD = re.compile(r"[^\W_]+")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = 6
SHORT = (2, 3, 5)
LONG = (4, 6, 9)
"""Words of the longest short phrases, and of the shortest long ones: the slices overlap, so that
those of the same mistakes are merged under the one that fits best."""


@dataclass(frozen=True)
class Slice:
    """A part of the test rows.

    Attributes
    ----------
    among : ANSWERS or NEW_PHRASES
    kind : "word", "length", "region", "weekday", "time of day", "month" or "source"
    phrases : distinct phrases inside
    mistaken : how many of them are answered wrong inside
    others, others_mistaken : the same of the rows outside
    wrong : int (k,), the codes of the mistaken phrases inside
    """

    among: str
    kind: str
    name: str
    phrases: int
    mistaken: int
    others: int
    others_mistaken: int
    wrong: Int64

    @property
    def share(self) -> float:
        """Share of the phrases inside that are answered wrong."""
        return self.mistaken / self.phrases

    @property
    def share_elsewhere(self) -> float:
        """Share of the phrases outside that are answered wrong."""
        return self.others_mistaken / self.others if self.others else 0.0


def cut_slices(rows: AnsweredRows, *, among: str) -> list[Slice]:
    """Return every slice with at least LEAST_PHRASES phrases inside, and one outside."""
    slices = [*_phrase_slices(rows, among), *_row_slices(rows, among)]
    return [part for part in slices if part.phrases >= LEAST_PHRASES and part.others > 0]


def _phrase_slices(rows: AnsweredRows, among: str) -> Iterator[Slice]:
    """Yield the slices by words and by length, which a phrase belongs to as a whole."""
    wrong = _mistaken(rows, np.ones(len(rows.codes), bool))
    words = [frozenset(WORD.findall(phrase)) for phrase in rows.phrases]
    lengths = [_lengths(len(phrase.split())) for phrase in rows.phrases]
    by_word = _members(words)
    by_length = _members(lengths)
    for kind, members in (("word", by_word), ("length", by_length)):
        for name, codes in members.items():
            inside = np.array(codes)
            yield Slice(
                among=among,
                kind=kind,
                name=name,
                phrases=len(inside),
                mistaken=int(wrong[inside].sum()),
                others=len(wrong) - len(inside),
                others_mistaken=int(wrong.sum() - wrong[inside].sum()),
                wrong=inside[wrong[inside]],
            )


def _members(names_of_phrases: Sequence[Iterable[str]]) -> dict[str, list[int]]:
    """Return name -> codes of the phrases that carry it, where there are enough."""
    members: dict[str, list[int]] = {}
    for code, names in enumerate(names_of_phrases):
        for name in names:
            members.setdefault(name, []).append(code)
    return {name: members[name] for name in sorted(members) if len(members[name]) >= LEAST_PHRASES}


def _lengths(words: int) -> list[str]:
    return [
        *(["one word"] if words == 1 else []),
        *(f"at most {most} words" for most in SHORT if words <= most),
        *(f"at least {least} words" for least in LONG if words >= least),
    ]


def _row_slices(rows: AnsweredRows, among: str) -> Iterator[Slice]:
    """Yield the slices that can cut through a phrase.

    A phrase with rows inside and outside counts on both sides. Its two results are alike more often
    than those of two phrases, so a difference between the sides is rarer by chance than the test
    takes it to be: the test errs on the safe side.
    """
    for kind, values in columns_of(rows).items():
        names, places = np.unique(values.astype(str), return_inverse=True)
        if len(names) < 2:
            continue
        for place, name in enumerate(names.tolist()):
            inside = places == place
            if len(np.unique(rows.codes[inside])) >= LEAST_PHRASES:
                yield _row_slice(rows, inside, among=among, kind=kind, name=name)


def columns_of(rows: AnsweredRows) -> Mapping[str, Strings]:
    """Return kind -> the slice of every row, str (n,)."""
    days = rows.occurred_at.astype("datetime64[D]")
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    hour = (rows.occurred_at.astype("datetime64[h]") - days).astype(np.int64) // HOURS * HOURS
    times = np.array([f"{start:02}:00 to {start + HOURS:02}:00" for start in range(0, 24, HOURS)])
    return {
        "region": np.where(rows.region == "", "(none)", rows.region),
        "weekday": np.array(DAYS)[weekday],
        "time of day": times[hour // HOURS],
        "month": days.astype("datetime64[M]").astype(str),
        "source": np.where(rows.from_source, "source", "feedback"),
    }


def _row_slice(rows: AnsweredRows, inside: Bool, *, among: str, kind: str, name: str) -> Slice:
    wrong = _mistaken(rows, inside)
    elsewhere = _mistaken(rows, ~inside)
    return Slice(
        among=among,
        kind=kind,
        name=name,
        phrases=len(np.unique(rows.codes[inside])),
        mistaken=int(wrong.sum()),
        others=len(np.unique(rows.codes[~inside])),
        others_mistaken=int(elsewhere.sum()),
        wrong=np.flatnonzero(wrong),
    )


def _mistaken(rows: AnsweredRows, chosen: Bool) -> Bool:
    """Mark the phrases most of whose chosen rows are wrong: bool (m,)."""
    count = len(rows.phrases)
    total = np.bincount(rows.codes[chosen], minlength=count)
    wrong = np.bincount(rows.codes[chosen & rows.wrong], minlength=count)
    marks: Bool = 2 * wrong > total
    return marks

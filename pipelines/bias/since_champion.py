"""Whether the bias of a candidate's answers is larger than the champion's, on the same test rows.

A champion that is kept in place of a candidate with the same bias helps nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipelines.bias.clustered import Estimate, gap, mean
from pipelines.bias.measures import DOUBT, EVERYTHING, stale_answers, wrong_answers
from pipelines.bias.rows import BiasRows
from pipelines.model.arrays import Float64, Strings

Place = tuple[str, str, str]
"""Kind, dimension and group of a measure."""
OF_ANSWERS: Mapping[str, Callable[[BiasRows], Float64]] = {
    "historical": stale_answers,
    "evaluation": wrong_answers,
}
"""Kinds that describe answers, and what each counts. The others describe rows and labels, which are
the same for both versions."""


def place_of(measure: Mapping[str, Any]) -> Place:
    """Return the key of a measure of bias.json."""
    return measure["kind"], measure["dimension"], measure["group"]


def changes_since(
    rows: BiasRows, champion: Strings, measures: Sequence[Mapping[str, Any]]
) -> dict[Place, Estimate]:
    """Return how much larger the candidate's value is than the champion's, of answers alone.

    `champion` holds its answers to the test rows, str (test rows,). Both versions answer the same
    rows, so that the difference per row is what varies. The intervals hold together with 95 %.
    """
    compared = [measure for measure in measures if measure["kind"] in OF_ANSWERS]
    before = replace(rows, predicted=champion)
    phrases = rows.phrases[rows.test]
    doubt = DOUBT / max(len(compared), 1)
    changes = {}

    for measure in compared:
        counted = OF_ANSWERS[measure["kind"]]
        difference = counted(rows) - counted(before)
        if measure["dimension"] == EVERYTHING:
            changes[place_of(measure)] = mean(difference, phrases, doubt=doubt)
            continue

        inside = rows.groups[measure["dimension"]][rows.test] == measure["group"]
        if measure["kind"] == "historical":
            change = mean(difference[inside], phrases[inside], doubt=doubt)
        else:
            change = gap(difference, inside, phrases, doubt=doubt)
        changes[place_of(measure)] = change
    return changes

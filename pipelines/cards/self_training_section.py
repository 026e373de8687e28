"""The section of the model card about phrases that a version labelled itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipelines.cards.card import Section, Sentence, Table, Writer, ask, plain, step

TITLE = "Phrases that it labelled itself"
PLACE = "evaluation/self_training"
SHOWN = 20
"""Labels in the table, those with the most phrases."""


def self_training_section(write: Writer) -> Section:
    """Say what joined, by label, and what it gained; nothing where the block has no such key."""
    if not ask(PLACE, write.facts):
        return Section(TITLE)
    by_label: Mapping[str, int] = ask(f"{PLACE}/joined_by_label", write.facts) or {}
    most = sorted(by_label, key=lambda label: (-by_label[label], label))[:SHOWN]
    place = f"{PLACE}/joined_by_label"
    rows = [[plain(label), *write.cells(f"{place}/{step(label)}:count")] for label in most]
    tables = [Table(("label", "phrases that joined"), rows)] if rows else []
    return Section(TITLE, list(_sentences(write)), tables)


def _sentences(write: Writer) -> Iterator[Sentence]:
    yield write.say("Self-training is {state}.", state=f"{PLACE}/state:text")
    if ask(f"{PLACE}/problem", write.facts):
        yield write.say("Why there were none: {problem}.", problem=f"{PLACE}/problem:text")
    if write.knows(f"{PLACE}/joined"):
        yield write.say(
            "Of {phrases} phrases that clients asked and nobody labelled, {joined} joined the "
            "training with its own answer.",
            phrases=f"{PLACE}/phrases:count",
            joined=f"{PLACE}/joined:count",
        )
    if write.knows(f"{PLACE}/gain"):
        yield write.say(
            "That changes the accuracy on the test rows by {gain} points ({low} to {high}, 95 %). "
            "The same rows decide whether it is on, so the gain is slightly too good.",
            gain=f"{PLACE}/gain:gain",
            low=f"{PLACE}/gain_low:gain",
            high=f"{PLACE}/gain_high:gain",
        )

"""Suspects, merges and splits in Markdown, for the pages of a run: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SHOWN = 10


def labels_page(suspects: Mapping[str, Any], labels: Mapping[str, Any]) -> str:
    """Return Markdown of the contents of both files of stage `suspects`."""
    if "not_measured" in suspects:
        reason = suspects["not_measured"]
        return f"## Labels that are probably wrong\n\nLabels were not judged: {reason}.\n"
    return "\n".join([*_suspects(suspects), *_merges(labels), *_splits(labels)]) + "\n"


def _suspects(suspects: Mapping[str, Any]) -> Iterator[str]:
    listed = suspects["suspects"]
    teaching = sum(suspect["teaches"] for suspect in listed)
    yield "## Labels that are probably wrong\n"
    yield (
        f"{suspects['found']:,} of {suspects['judged']:,} pairs of phrase and label; of the "
        f"{len(listed):,} that spoil most answers, heads learn {teaching:,}. The review queue asks "
        "for them.\n"
    )
    if listed:
        yield "| phrase | label | probably | rows of the phrase |\n| --- | --- | --- | --- |"
    for suspect in listed[:SHOWN]:
        rows = sum(suspect["labels"].values())
        phrase = suspect["cleaned"].replace("|", "\\|")
        yield f"| {phrase} | {suspect['given']} | {suspect['proposed']} | {rows:,} |"
    yield ""


def _merges(labels: Mapping[str, Any]) -> Iterator[str]:
    paying = [merge for merge in labels["merges"] if merge["pays"]]
    yield "## Labels to merge or to split\n"
    for merge in paying[:SHOWN]:
        yield (
            f"- Merge {' and '.join(merge['labels'])}: saves {merge['saved']:.2f} per thousand new "
            f"phrases; telling them apart saves {merge['lost']:.2f} today."
        )


def _splits(labels: Mapping[str, Any]) -> Iterator[str]:
    paying = [split for split in labels["splits"] if split["pays"]]
    for split in paying[:SHOWN]:
        first, second = (examples[0] for examples in split["examples"])
        yield (
            f"- Split {split['label']}: saves {split['saved']:.2f} per thousand new phrases; one "
            f"half is like “{first}”, the other like “{second}”."
        )
    if not paying and not any(merge["pays"] for merge in labels["merges"]):
        yield "None pays by the cost matrix."

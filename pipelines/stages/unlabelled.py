"""The unlabelled phrases of one classifier as an output of `split`, which its fit may learn."""

from __future__ import annotations

from pathlib import Path

from core.files import write_json
from pipelines.model.arrays import Strings
from pipelines.stages.files import classifier_folder, read_json
from pipelines.unlabelled import UnlabelledPhrases, read_unlabelled

PART = "unlabelled.json"


def write_unlabelled_part(key: str, snapshot: Path, *, labelled: Strings) -> None:
    """Write split/unlabelled.json, without phrases where the snapshot has none.

    `labelled` are all phrases with a label, test phrases among them: none of these is unlabelled,
    whatever the file of the snapshot says.
    """
    phrases = read_unlabelled(snapshot, key).without(set(labelled.tolist()))
    content = {"cleaned": phrases.cleaned, "asks": phrases.asks, "problem": phrases.problem}
    write_json(classifier_folder(key) / "split" / PART, content)


def read_unlabelled_part(key: str) -> UnlabelledPhrases:
    """Read what `write_unlabelled_part` wrote."""
    content = read_json(classifier_folder(key) / "split" / PART)
    return UnlabelledPhrases(tuple(content["cleaned"]), tuple(content["asks"]), content["problem"])

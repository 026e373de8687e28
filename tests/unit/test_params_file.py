"""Whatever is wrong in params.yaml: one sentence with the place, what came and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ParamsError
from core.params import load_params

BLOCK = "classifiers:\n  intent:\n    source: {query: queries/a.sql, label: intent}\n"


def with_source(text: str) -> str:
    return f"classifiers:\n  intent:\n    source: {text}\n"


WRONG: dict[str, tuple[str | bytes, str]] = {
    "an empty file": ("", r"keys and values in params\.yaml; came nothing; begin with `classifiers:`"),
    "a list": ("[]", r"came \[\]"),
    "no classifiers": ("seed: 7\n", "classifiers: a value, for it is required; came nothing"),
    "no block": ("classifiers: {}\n", "classifiers: .*came an empty block"),
    "broken YAML": ("a: [", "YAML in params.yaml"),
    "a tab": (f"{BLOCK}\tseed: 7\n", "YAML in params.yaml"),
    "not UTF-8": (BLOCK.encode() + b"# caf\xe9\n", "UTF-8 in params.yaml; came byte 0xe9 at position 78; save"),
    "a second `classifiers:`": (BLOCK + BLOCK.replace("intent", "topic"), "came a second `classifiers` in line 4; put what"),
    "a block twice": (BLOCK + BLOCK.partition("\n")[2], "came a second `intent` in line 4"),
    "a misspelt key": (f"{BLOCK}    history_day: 30\n", "classifiers.intent.history_day; came an unknown key; write `history_days`"),
    "a key like none": (f"{BLOCK}    zzz: 30\n", "classifiers.intent.zzz; came an unknown key; remove it"),
    "two wrong keys": (f"{BLOCK}    zzz: 30\n    yyy: 3\n", "and 1 more"),
    "a name in capitals": (BLOCK.replace("intent:", "Intent:"), "classifiers.Intent: a name of lower-case letters"),
    "a query elsewhere": (with_source("{query: ../a.sql, label: x}"), r"source.query: a file queries/NAME\.sql"),
    "a label with a dash": (with_source("{query: queries/a.sql, label: my-label}"), "source.label: .* with `as`"),
    "no label": (with_source("{query: queries/a.sql}"), "source.label: a value, for it is required; came nothing"),
    "a label of ours": (with_source("{query: queries/a.sql, label: phrase}"), "source: label is a reserved column"),
    "a label that YAML takes for false": (with_source("{query: queries/a.sql, label: no}"), "source.label: .*came False"),
    "a date": (with_source("{query: queries/a.sql, label: x, parameters: {since: 2024-01-01}}"), "parameters.since: .*a date in quotes"),
    "a number that is none": (with_source("{query: queries/a.sql, label: x, parameters: {since: .nan}}"), "parameters.since: "),
    "a schedule": (f"{BLOCK}    schedule: nonsense\n", "schedule: the five fields of cron"),
    "test longer than history": (f"{BLOCK}    test_days: 2000\n", r"test_days \(2000\) must be .*came the keys source, test_days;"),
    "a share of two": (f"{BLOCK}    gate: {{min_weighted_f1: 2}}\n", "gate.min_weighted_f1: .*less than or equal to 1; came 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, case: str) -> None:
    text, said = WRONG[case]
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ParamsError, match=said) as refusal:
        load_params(path)
    assert "\n" not in str(refusal.value) and refusal.value.do

"""Whatever is wrong in params.yaml: one sentence with the place, what was found and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ParamsError
from core.params.schema import load_params

BLOCK = "classifiers:\n  intent:\n    source: {query: queries/a.sql, label: intent}\n"


def with_source(text: str) -> str:
    return f"classifiers:\n  intent:\n    source: {text}\n"


WRONG: dict[str, tuple[str | bytes, str]] = {
    "an empty file": (
        "",
        r"keys and values in params\.yaml, got nothing; begin with `classifiers:`",
    ),
    "a list": ("[]", r"got \[\]"),
    "no classifiers": ("seed: 7\n", "classifiers: a value, because it is required, got nothing"),
    "a kind that does not exist": (
        with_source("{query: queries/a.sql, label: intent}") + "    head: {kind: mpl}\n",
        r"classifiers.intent.head to be of the kind .*mlp.*, got `mpl`; write `mlp`",
    ),
    "no block": ("classifiers: {}\n", "classifiers to have .*got an empty block"),
    "broken YAML": ("a: [", "YAML in params.yaml"),
    "a tab": (f"{BLOCK}\tseed: 7\n", "YAML in params.yaml"),
    "not UTF-8": (
        BLOCK.encode() + b"# caf\xe9\n",
        "UTF-8 in params.yaml, got byte 0xe9 at position 78; save",
    ),
    "a second `classifiers:`": (
        BLOCK + BLOCK.replace("intent", "topic"),
        "got a second `classifiers` in line 4; put what",
    ),
    "a block twice": (BLOCK + BLOCK.partition("\n")[2], "got a second `intent` in line 4"),
    "a misspelt key": (
        f"{BLOCK}    history_day: 30\n",
        "classifiers.intent.history_day, got an unknown key; write `history_days`",
    ),
    "a misspelt key that is required": (
        with_source("{query: queries/a.sql, lable: intent}"),
        r"classifiers.intent.source.lable, got an unknown key \(and 1 more\); write `label`",
    ),
    "a misspelt `classifiers`": (
        BLOCK.replace("classifiers", "clasifiers"),
        r"at clasifiers, got an unknown key \(and 1 more\); write `classifiers`",
    ),
    "a key like none": (
        f"{BLOCK}    zzz: 30\n",
        "classifiers.intent.zzz, got an unknown key; remove it",
    ),
    "two wrong keys": (f"{BLOCK}    zzz: 30\n    yyy: 3\n", "and 1 more"),
    "a name in capitals": (
        BLOCK.replace("intent:", "Intent:"),
        "classifiers.Intent: a name of lower-case letters",
    ),
    "a query elsewhere": (
        with_source("{query: ../a.sql, label: x}"),
        r"source.query: a file queries/NAME\.sql",
    ),
    "a label with a dash": (
        with_source("{query: queries/a.sql, label: my-label}"),
        "source.label: .* with `as`",
    ),
    "no label": (
        with_source("{query: queries/a.sql}"),
        "source.label: a value, because it is required, got nothing",
    ),
    "a label of ours": (
        with_source("{query: queries/a.sql, label: phrase}"),
        "source: label is a reserved column",
    ),
    "a label that YAML takes for false": (
        with_source("{query: queries/a.sql, label: no}"),
        "source.label to be a valid string, got False",
    ),
    "a date": (
        with_source("{query: queries/a.sql, label: x, parameters: {since: 2024-01-01}}"),
        "parameters.since: .*a date in quotes",
    ),
    "a number that is none": (
        with_source("{query: queries/a.sql, label: x, parameters: {since: .nan}}"),
        "parameters.since: ",
    ),
    "a schedule": (f"{BLOCK}    schedule: nonsense\n", "schedule: the five fields of cron"),
    "a schedule of no such day": (
        f"{BLOCK}    schedule: 0 3 31 2,sep *\n",
        "schedule never comes: day 31 of month 2,sep",
    ),
    "a seed below 0": (f"{BLOCK}seed: -1\n", "seed to be greater than or equal to 0, got -1"),
    "a seed beyond 32 bits": (f"{BLOCK}seed: 4294967296\n", "seed to be less than 4294967296"),
    "a schedule of no minute": (
        f"{BLOCK}    schedule: 60 3 * * *\n",
        "schedule: the five fields of cron",
    ),
    "a schedule of no day": (
        f"{BLOCK}    drift: {{schedule: 0 3 * * 8}}\n",
        "drift.schedule: the five fields of cron",
    ),
    "a history longer than time": (
        f"{BLOCK}    history_days: 1000000000\n",
        "history_days to be less than or equal to 365000",
    ),
    "a list for a key": (
        f"{BLOCK}? [a, b]\n: 1\n",
        "YAML in params.yaml, got a key that is a list or a block",
    ),
    "a day that is none": (
        f"{BLOCK}seed: 2024-13-45\n",
        "YAML in params.yaml, got month must be in 1..12",
    ),
    "a number of 5,000 digits": (
        f"{BLOCK}seed: {'9' * 5000}\n",
        "YAML in params.yaml, got Exceeds the limit",
    ),
    "test longer than history": (
        f"{BLOCK}    test_days: 2000\n",
        r"test_days \(2000\) must be .*got the keys source, test_days;",
    ),
    "a share of two": (
        f"{BLOCK}    gate: {{min_weighted_f1: 2}}\n",
        "gate.min_weighted_f1 to be less than or equal to 1, got 2",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, case: str) -> None:
    text, message = WRONG[case]
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ParamsError, match=message) as refusal:
        load_params(path)
    assert "\n" not in str(refusal.value) and refusal.value.do


@pytest.mark.parametrize(
    "schedule",
    [
        "*/15 * * * *",
        "0,30 8-18/2 * * MON-FRI",
        "00 03 1,15 jan 7",
        "0 3 ? * mon#1",
        "0 3 L * *",
        "0 3 31 2 mon",
        "0 3 29 feb *",
        "0 3 30,31 2,3 *",
        " 5/10 * * * 0 ",
    ],
)
def test_a_schedule_may_say_all_that_cron_can(tmp_path: Path, schedule: str) -> None:
    (tmp_path / "params.yaml").write_text(f"{BLOCK}    schedule: '{schedule}'\n")
    assert load_params(tmp_path / "params.yaml").classifiers["intent"].schedule == schedule

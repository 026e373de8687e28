"""The formats of files with tasks and labels, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO, get_args

from core.csv_files import open_text
from core.errors import InvalidFeedback
from monitoring.tasks.doccano import read_doccano, write_doccano
from monitoring.tasks.flat import read_csv, read_json_lines, write_csv, write_json_lines
from monitoring.tasks.label_studio import read_label_studio, write_label_studio
from monitoring.tasks.prodigy import read_prodigy, write_prodigy
from monitoring.tasks.records import Record, Refusal
from monitoring.tasks.task import Task

FormatName = Literal["csv", "jsonl", "label-studio", "doccano", "prodigy"]


@dataclass(frozen=True)
class Format:
    """How a format is written and read; `title` is for people, `suffix` for files."""

    title: str
    suffix: str
    write: Callable[[Iterable[Task], Sequence[str]], Iterator[str]]
    read: Callable[[TextIO], Iterator[Record | Refusal]]


FORMATS: Mapping[FormatName, Format] = {
    "csv": Format("CSV", ".csv", write_csv, read_csv),
    "jsonl": Format("JSON lines", ".jsonl", write_json_lines, read_json_lines),
    "label-studio": Format("Label Studio", ".json", write_label_studio, read_label_studio),
    "doccano": Format("doccano", ".jsonl", write_doccano, read_doccano),
    "prodigy": Format("Prodigy", ".jsonl", write_prodigy, read_prodigy),
}
assert tuple(FORMATS) == get_args(FormatName)


def write_tasks(
    tasks: Iterable[Task], name: FormatName, *, labels: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the file in parts. `labels` are what people may choose from, where a format says so."""
    return FORMATS[name].write(tasks, labels)


def read_records(file: Path, name: FormatName) -> Iterator[Record | Refusal]:
    """Yield the records in the order of the file.

    Raises `InvalidFeedback` when the file cannot be read as a whole.
    """
    try:
        with open_text(file) as lines:
            yield from FORMATS[name].read(lines)
    except OSError as error:
        raise InvalidFeedback(
            "a readable file",
            came=f"{file.name}: {error.strerror}",
            do="name a CSV or JSON-lines file",
        ) from None

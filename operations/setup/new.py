"""Sets up a classifier: looks at its rows, and writes its query and its block."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from core.errors import ParamsError, SettingsError
from core.files import replacing
from core.params.edits import add_block, read_params
from core.params.file import FROM, NAME
from core.params.schema import RESERVED_COLUMNS, ClassifierParams
from core.settings import Settings
from core.source_addresses import absolute_address, is_path, naming_source, source_variable
from operations.setup.first_model import FirstModel, try_first_model
from operations.setup.keys import choose_keys
from operations.setup.languages import find_languages
from operations.setup.likely_power import likely_power
from operations.setup.source_columns import Columns, Wanted, find_columns, write_query
from operations.setup.source_profile import SourceProfile, describe, learn, missing_values, usable
from pipelines.source.extract import extract, read_batches
from pipelines.stages.labelled_rows import labelled_rows


@dataclass(frozen=True)
class Setup:
    """What was found and written.

    Attributes
    ----------
    variable : the variable to set to the source's address, "" when none is needed
    address : the path to set it to, "" for a URL, which may contain a password
    """

    classifier: str
    query: str
    block: dict[str, Any]
    look: SourceProfile
    written_times: str
    languages: dict[str, float]
    first_model: FirstModel
    drift: str
    variable: str
    address: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Source:
    """Where the rows are, and what `from` says of it."""

    address: str
    from_: str | None
    is_set: bool


@dataclass(frozen=True)
class _SourceRows:
    """A query and its rows; `missing` counts those that it leaves out of the `of_table` rows."""

    query: str
    table: pa.Table
    zoneless: int
    missing: dict[str, int]
    of_table: int


def set_up(settings: Settings, name: str, source: str, wanted: Wanted, *, now: datetime) -> Setup:
    """Look at the source, then write queries/<name>.sql and the block. Nothing is overwritten.

    Raises `ParamsError` for a name that cannot be used, `QueryRefused` and `TrainingImpossible` for
    rows that cannot train; then nothing is written.
    """
    text = (settings.repository / "params.yaml").read_text(encoding="utf-8")
    query_file = _free_query(settings, name)
    named = {"query": f"queries/{query_file.name}", "label": name}
    add_block(text, name, {"source": named})

    located = _resolve(settings, name, source)
    with naming_source(source_variable(source) if source in settings.sources else "the source"):
        columns = find_columns(located.address, wanted)
        rows = _read(located.address, columns, label=name)
    own = {"from": located.from_} if located.from_ else {}
    setup = _judge(located, {**own, **named}, rows, seed=read_params(text).seed, now=now)

    _write(query_file, rows.query)
    _write(settings.repository / "params.yaml", add_block(text, name, setup.block))
    zone = ", taken as UTC" if rows.zoneless else ""
    return replace(setup, written_times=f"{columns.written}{zone}")


def _judge(
    located: _Source, source: dict[str, str], rows: _SourceRows, *, seed: int, now: datetime
) -> Setup:
    """Choose the block's keys, and say what its rows promise."""
    name = source["label"]
    kept, unusable = usable(rows.table, now=now)
    labelled = labelled_rows(kept, label=name)
    block = choose_keys(labelled, source, seed=seed)
    params = ClassifierParams.model_validate(block)
    learnable = learn(labelled, block=params, seed=seed)
    look = describe(
        rows.table,
        learnable,
        rows_of_table=rows.of_table,
        left_out={**rows.missing, **unusable},
    )
    return Setup(
        classifier=name,
        query=source["query"],
        block=block,
        look=look,
        written_times="",
        languages=find_languages(learnable.rows.phrases.tolist(), seed=seed),
        first_model=try_first_model(learnable, seed=seed),
        drift=likely_power(look.per_day, window_days=params.drift.window_days),
        variable="" if located.is_set else source_variable(located.from_),
        address=located.address if is_path(located.address) else "",
    )


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def _free_query(settings: Settings, name: str) -> Path:
    """Return the query's file. Raises `ParamsError` when it exists, or for an unusable name."""
    if not re.fullmatch(NAME, name) or name in RESERVED_COLUMNS:
        raise ParamsError(
            "a name of lower-case letters, digits and _ (at most 40, a letter first)",
            came=name,
            do=f"choose another name; reserved are {', '.join(sorted(RESERVED_COLUMNS))}",
        )
    path = settings.repository / "queries" / f"{name}.sql"
    if path.exists():
        raise ParamsError(
            "a name without a query yet",
            came=f"{name}, which has queries/{name}.sql",
            do="choose another",
        )
    return path


def _resolve(settings: Settings, name: str, source: str) -> _Source:
    """Return the source that a path, a URL or the name of a set variable means."""
    if source in settings.sources:
        return _Source(settings.sources[source].get_secret_value(), source, is_set=True)

    try:
        address = absolute_address(source)
    except ValueError as error:
        known = ", ".join(settings.sources) or "none"
        raise SettingsError(
            "a path, a URL, or the name of a source that is set",
            came=f"{error} (set are: {known})",
            do="name a file or a folder, or set PERENNIAL_SOURCE_<NAME>_URL",
        ) from None

    shared = settings.source_url
    if shared is not None and shared.get_secret_value() == address:
        return _Source(address, None, is_set=True)

    inside = _inside(settings.repository, address)
    if inside is not None:
        return _Source(address, inside, is_set=True)
    return _Source(address, name, is_set=False)


def _inside(repository: Path, address: str) -> str | None:
    """Return a path below the repository as `from` takes it, None for any other address."""
    if not is_path(address) or not Path(address).is_relative_to(repository):
        return None
    relative = Path(address).relative_to(repository).as_posix()
    path = f"{relative}/" if Path(address).is_dir() else relative
    return path if re.fullmatch(FROM, path) and not path.isidentifier() else None


def _read(address: str, columns: Columns, *, label: str) -> _SourceRows:
    """Read the rows of the table but those without a text or a label."""
    conditions = {
        "without a text": f"{columns.text} is not null",
        "without a label": f"{columns.label} is not null",
    }
    every = _extract(write_query(columns, label=label), address, label)
    missing = missing_values(every.table, {"phrase": "without a text", label: "without a label"})
    if not missing:
        return every
    query = write_query(columns, label=label, without=[conditions[reason] for reason in missing])
    return replace(_extract(query, address, label), missing=missing, of_table=len(every.table))


def _extract(query: str, address: str, label: str) -> _SourceRows:
    with TemporaryDirectory(prefix="perennial-new-") as folder:
        target = Path(folder) / "rows.arrow"
        extraction = extract(query, url=address, target=target, label_columns=[label])
        table = pa.Table.from_batches(read_batches(target)).combine_chunks()
    return _SourceRows(query, table, zoneless=extraction.zoneless, missing={}, of_table=len(table))


def dated_by_age(wanted: Wanted, *, age_days: float, now: datetime) -> Wanted:
    """Return the same wish with all rows dated so many days ago."""
    newest: date = datetime.fromtimestamp(now.timestamp() - age_days * 86_400, now.tzinfo).date()
    return replace(wanted, dated=newest)

"""Files as tables of an in-memory DuckDB: CSV, Parquet, and JSON or JSON lines.

`tickets.csv` is the table `tickets`. In a folder each file is a table, and the folder's own name is
the table of all their rows.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from core.csv_files import DELIMITERS
from core.errors import QueryRefused, SettingsError, SourceUnreachable
from core.source_addresses import FILES

if TYPE_CHECKING:
    import duckdb

_TEXTS = (".csv", ".tsv")
_TRANSCODED = "transcoded"
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OLD_ENCODING = "cp1252"
"""What spreadsheets of western languages write; bytes that it lacks become replacement characters,
which the data checks count."""
_SAMPLED = 1 << 20
_PLAIN_NUMBER = "0|-?[1-9][0-9]*"
"""DuckDB also takes 0x1F, 0b101 and blanks around digits for numbers: codes would change."""
_GUESSED = re.compile(
    r'"(?:[^"]|"")*"|\b(?:UUID|DATE|TIME(?:STAMP)?(?:_\w+)?(?: WITH TIME ZONE)?)(?=[],)[]|$)'
)
"""In DuckDB's name of a type: a quoted name of a field, or a type that it guesses for strings."""


def create_tables(
    connection: duckdb.DuckDBPyConnection, path: Path, *, temporary: Path
) -> list[str]:
    """Create a view per file, and one of all files of a folder; return the views' names.

    `temporary` takes UTF-8 copies of texts in other encodings, as long as the connection is open.
    Raises `SourceUnreachable` when nothing is there, `SettingsError` for another kind of file.
    """
    files = _files(path)
    for file in files:
        connection.execute(
            f"create view {quoted(file.stem)} as {_rows(connection, file, temporary)}"
        )
    names = [file.stem for file in files]
    if path.is_dir() and _folded(path.name) not in map(_folded, names):
        all_rows = " union all by name ".join(f"from {quoted(name)}" for name in names)
        connection.execute(f"create view {quoted(path.name)} as {all_rows}")
        names.append(path.name)
    return names


def quoted(name: str) -> str:
    """Return a name as SQL takes it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def _folded(name: str) -> bytes:
    """Return what DuckDB compares names by: the case of ASCII letters is nothing, that of ä is."""
    return os.fsencode(name).lower()


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise SourceUnreachable(
            "a file or a folder",
            came=f"nothing at {path}",
            do="correct PERENNIAL_SOURCE_URL",
        )
    candidates = [path] if path.is_file() else sorted(path.iterdir())
    files = [file for file in candidates if file.suffix.lower() in FILES]
    if not files:
        raise SettingsError(
            f"a file that ends in {', '.join(FILES)}",
            came=path.name if path.is_file() else f"none in {path}",
            do="export the rows as CSV, or correct PERENNIAL_SOURCE_URL",
        )
    counts = Counter(_folded(file.stem) for file in files)
    twice = [file.name for file in files if counts[_folded(file.stem)] > 1]
    if twice:
        raise SettingsError(
            "files of different names: each is a table, and upper and lower case are the same",
            came=f"{', '.join(twice)} in {path}",
            do="rename or remove one of them",
        )
    return files


def _rows(connection: duckdb.DuckDBPyConnection, file: Path, temporary: Path) -> str:
    suffix = file.suffix.lower()
    if suffix in _TEXTS:
        return _rows_of_csv(connection, file, temporary)
    if suffix == ".parquet":
        return f"from read_parquet({_text(file)})"
    return _rows_of_json(connection, file)


def _rows_of_json(connection: duckdb.DuckDBPyConnection, file: Path) -> str:
    """Return a read with the types of JSON, without DuckDB's guesses of dates and ids in strings.

    At depth 1 every value comes as JSON. Rows that are not objects have no such values.
    """
    whole = f"from read_json({_text(file)}, sample_size=-1)"
    unread = f"from read_json({_text(file)}, sample_size=-1, maximum_depth=1)"
    types = _columns(connection, whole)
    values = [name for name, kind in _columns(connection, unread).items() if kind == "JSON"]
    if not values:
        return whole
    replaced = ", ".join(f"{_value(name, types[name])} as {quoted(name)}" for name in values)
    return f"select * replace ({replaced}) {unread}"


def _value(name: str, kind: str) -> str:
    """Return the expression of a JSON value in its type; strings and mixed values are text."""
    unguessed = _GUESSED.sub(lambda match: match[0] if match[0][0] == '"' else "VARCHAR", kind)
    if unguessed in ("VARCHAR", "JSON"):
        return f"{quoted(name)} ->> '$'"
    return f"cast({quoted(name)} as {unguessed})"


def _rows_of_csv(connection: duckdb.DuckDBPyConnection, file: Path, temporary: Path) -> str:
    """Return a read that refuses a broken line, with whole numbers as numbers and texts as written.

    Neither a delimiter, a comment nor a header is guessed from the rows: a guess drops rows.
    """
    utf8 = _in_utf8(file, temporary)
    delimiter, names = _head(utf8, file)
    options = (
        f"{_text(utf8)}, delim='{delimiter}', quote='\"', escape='\"', header=true, skip=0, "
        "comment='', strict_mode=true"
    )
    types = _types(connection, options) or dict.fromkeys(names, "VARCHAR")
    return _typed_csv(options, types)


def _typed_csv(options: str, types: dict[str, str]) -> str:
    columns = ", ".join(f"{_text(name)}: '{kind}'" for name, kind in types.items())
    return f"from read_csv({options}, auto_detect=false, columns={{{columns}}})"


def _types(connection: duckdb.DuckDBPyConnection, options: str) -> dict[str, str]:
    """Return column -> type from all rows; empty when a row is broken, which the read reports."""
    import duckdb

    sniffed = f"from read_csv({options}, sample_size=-1, auto_type_candidates=['BIGINT','VARCHAR'])"
    try:
        types = _columns(connection, sniffed)
        codes = _codes(connection, options, types)
    except duckdb.InvalidInputException:
        return {}
    return types | dict.fromkeys(codes, "VARCHAR")


def _codes(connection: duckdb.DuckDBPyConnection, options: str, types: dict[str, str]) -> list[str]:
    """Return the columns of numbers of which some row has another text than the number's."""
    numbers = [name for name, kind in types.items() if kind == "BIGINT"]
    if not numbers:
        return []
    tests = ", ".join(
        f"bool_or(not regexp_full_match({quoted(name)}, '{_PLAIN_NUMBER}'))" for name in numbers
    )
    texts = _typed_csv(options, dict.fromkeys(types, "VARCHAR"))
    [differ] = connection.execute(f"select {tests} {texts}").fetchall()
    return [name for name, differs in zip(numbers, differ, strict=True) if differs]


def _columns(connection: duckdb.DuckDBPyConnection, rows: str) -> dict[str, str]:
    described = connection.execute(f"describe {rows}").fetchall()
    return {name: kind for name, kind, *_ in described}


def _head(utf8: Path, file: Path) -> tuple[str, list[str]]:
    """Return the delimiter that parts the first line into most columns, and these columns."""
    with utf8.open(encoding="utf-8") as lines:
        first = lines.readline().strip("\n")
    if not first.strip():
        raise QueryRefused(
            f"a first line with the names of the columns in {file.name}",
            came="an empty line",
            do="export the file with a header",
        )
    parted = {delimiter: next(csv.reader([first], delimiter=delimiter)) for delimiter in DELIMITERS}
    return max(parted.items(), key=lambda candidate: len(candidate[1]))


def _in_utf8(file: Path, temporary: Path) -> Path:
    """Return the file, or a UTF-8 copy of one in another encoding."""
    encoding = _encoding(file)
    if encoding == "utf-8":
        return file
    copy = temporary / f"{_TRANSCODED}-{file.name}"
    with (
        file.open(encoding=encoding, errors="replace", newline="") as source,
        copy.open("w", encoding="utf-8", newline="") as target,
    ):
        shutil.copyfileobj(source, target, _SAMPLED)
    return copy


def _encoding(file: Path) -> str:
    """Return the encoding that a byte order mark names, UTF-8 if all is that, else Windows'."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with file.open("rb") as content:
        part = content.read(_SAMPLED)
        for mark, encoding in _BYTE_ORDER_MARKS.items():
            if part.startswith(mark):
                return encoding
        try:
            while part:
                decoder.decode(part)
                part = content.read(_SAMPLED)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return _OLD_ENCODING
    return "utf-8"


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"

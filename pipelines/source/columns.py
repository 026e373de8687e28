"""The canonical columns: id, phrase, occurred_at, region and labels, of fixed types.

Pure functions from what a database returns to Arrow.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from core.errors import QueryRefused
from core.logs import first_line
from pipelines.source.queries import NULL_TEXT

REQUIRED = ("phrase", "occurred_at")
MOMENT = pa.timestamp("us", tz="UTC")
FIRST = pa.scalar(datetime.min.replace(tzinfo=UTC), MOMENT)
LAST = pa.scalar(datetime.max.replace(tzinfo=UTC), MOMENT)
_OFFSET = r"(?i)\d\d:\d\d.*(z|[+-]\d\d(:?\d\d)?)$"
"""Pattern of a text that ends in a time with a zone."""


def canonical_schema(label_columns: Sequence[str]) -> pa.Schema:
    """Return the schema: id, phrase, occurred_at, region, then the labels in the order given."""
    texts = [pa.field(name, pa.string()) for name in ("id", "phrase")]
    labels = [pa.field(name, pa.string()) for name in label_columns]
    return pa.schema(
        [*texts, pa.field("occurred_at", MOMENT), pa.field("region", pa.string()), *labels]
    )


def choose_columns(returned: Sequence[str], label_columns: Sequence[str]) -> list[str]:
    """Return the canonical columns that the query returns, in canonical order.

    Raises `QueryRefused` naming those that are missing or come twice.
    """
    missing = [name for name in (*REQUIRED, *label_columns) if name not in returned]
    if missing:
        raise QueryRefused(
            f"the columns {', '.join((*REQUIRED, *label_columns))}",
            came=f"{', '.join(returned) or 'none'} (without {', '.join(missing)})",
            do="give the columns these names in the query with `as`, or correct source.label",
        )
    canonical = ("id", "phrase", "occurred_at", "region", *label_columns)
    chosen = [name for name in canonical if name in returned]
    # SQLite renames the second `name` to `name:1`
    twice = [name for name in chosen if returned.count(name) > 1 or f"{name}:1" in returned]
    if twice:
        raise QueryRefused(
            "each column once",
            came=f"{', '.join(twice)} more than once",
            do="name the columns with `as`, or list them instead of `*`",
        )
    return chosen


class Canonical:
    """Turns batches, which must come in order of time, into canonical batches with trimmed labels.

    Rows without an id get one: it depends on their content, and counts equal rows across batches.

    Attributes
    ----------
    zoneless : int
        Rows whose time had no zone and was taken as UTC.
    trimmed : Counter
        Label column -> rows whose label had blanks around it, as CHAR(n) has, and lost them.
    """

    def __init__(self, label_columns: Sequence[str]) -> None:
        self.schema = canonical_schema(label_columns)
        self.zoneless = 0
        self.trimmed: Counter[str] = Counter()
        self._labels = tuple(label_columns)
        self._time: object = None
        self._occurrences: Counter[bytes] = Counter()

    def convert(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a canonical batch; raise `QueryRefused` for an invalid time or a missing id."""
        times = batch.column("occurred_at")
        columns = {
            name: _text(batch.column(name)) for name in batch.schema.names if name != "occurred_at"
        }
        columns["occurred_at"] = _moment(times)
        self.zoneless += _zoneless(times)
        if "id" in columns and columns["id"].null_count:
            raise QueryRefused(
                "an id in every row",
                came=f"{columns['id'].null_count} rows without one",
                do="correct the query, or leave `id` out of it: it is then made from the content",
            )
        columns.setdefault("region", pa.nulls(len(batch), pa.string()))
        if "id" not in columns:
            columns["id"] = self._ids(columns, times)
        columns |= {name: self._trim(name, columns[name]) for name in self._labels}
        return pa.record_batch([columns[name] for name in self.schema.names], schema=self.schema)

    def _trim(self, name: str, labels: pa.Array) -> pa.Array:
        trimmed = pc.utf8_trim_whitespace(labels)
        self.trimmed[name] += pc.sum(pc.not_equal(trimmed, labels)).as_py() or 0
        return trimmed

    def _ids(self, columns: dict[str, pa.Array], times: pa.Array) -> pa.Array:
        """Return hashes of the rows' content and of their occurrence among equal rows.

        A time that is a text counts as it is.
        """
        names = [name for name in self.schema.names if name not in ("id", "occurred_at")]
        others = [_as_list(columns[name]) for name in names]
        moments = _as_list(times if _is_text(times) else columns["occurred_at"])
        return pa.array([self._id(*row) for row in zip(moments, *others, strict=True)], pa.string())

    def _id(self, time: object, *content: object) -> str:
        """Count equal rows per time: a database's collation may put others between them."""
        if time != self._time:
            self._time = time
            self._occurrences.clear()
        row = hashlib.blake2b(repr((time, *content)).encode(), digest_size=16)
        self._occurrences[row.digest()] += 1
        row.update(b"#%d" % self._occurrences[row.digest()])
        return row.hexdigest()


def _as_list(column: pa.Array) -> list[object]:
    plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    values: list[object] = plain.to_pylist()
    return values


def _text(column: pa.Array) -> pa.Array:
    column = column.storage if isinstance(column, pa.ExtensionArray) else column
    is_bytes = _is_text(column) or pa.types.is_binary(column.type)
    text = _decoded(column) if is_bytes else column.cast(pa.string())
    is_null = pc.equal(text, NULL_TEXT)
    if not pc.any(is_null).as_py():
        return text
    return pc.if_else(is_null, pa.scalar(None, pa.string()), text)


def _is_text(column: pa.Array) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _decoded(column: pa.Array) -> pa.Array:
    """Decode UTF-8; other bytes become replacement characters, which the data checks count."""
    values = column.cast(pa.binary())
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array(
            [
                None if value is None else value.decode(errors="replace")
                for value in values.to_pylist()
            ],
            pa.string(),
        )


def _zoneless(column: pa.Array) -> int:
    """Return the number of times without a zone; of timestamps, that is all or none."""
    if _is_text(column):
        has_zone = pc.match_substring_regex(pc.utf8_trim_whitespace(column), _OFFSET)
        return len(column) - (pc.sum(has_zone).as_py() or 0)
    return 0 if getattr(column.type, "tz", None) else len(column)


def _moment(column: pa.Array) -> pa.Array:
    try:
        moment = _as_utc(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _invalid_time(first_line(error)) from None
    if moment.null_count:
        raise _invalid_time(f"{moment.null_count} rows without one")
    if outside := pc.sum(pc.or_(pc.less(moment, FIRST), pc.greater(moment, LAST))).as_py():
        raise _invalid_time(f"{outside} rows of infinite times, or outside the years 1 to 9999")
    return moment


def _as_utc(column: pa.Array) -> pa.Array:
    """Return moments in UTC; times without a zone are taken as UTC."""
    if _is_text(column):
        return _parsed(_text(column))
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if not pa.types.is_timestamp(column.type):
        raise pa.ArrowInvalid(f"values of type {column.type}")
    return column.cast(MOMENT, safe=False)


def _parsed(text: pa.Array) -> pa.Array:
    """Parse ISO 8601 with or without an offset.

    A date alone is its midnight; digits below a microsecond are cut off.
    """
    plain = pc.utf8_upper(pc.utf8_trim_whitespace(text))
    plain = pc.replace_substring_regex(plain, r"(\.\d{6})\d+", r"\1")

    is_date = pc.equal(pc.utf8_length(plain), len("2026-01-01"))
    at_midnight = pc.binary_join_element_wise(plain, "00:00:00", "T")
    dated = pc.if_else(is_date, at_midnight, plain)

    has_zone = pc.match_substring_regex(dated, _OFFSET)
    in_utc = pc.binary_join_element_wise(dated, "Z", "")
    zoned = pc.if_else(has_zone, dated, in_utc)
    try:
        return zoned.cast(MOMENT)
    except pa.ArrowInvalid:
        raise pa.ArrowInvalid(f"{_first_invalid(text, zoned)!r}") from None


def _first_invalid(text: pa.Array, zoned: pa.Array) -> str:
    """Return the first text that is not a time, unchanged."""
    for row, moment in enumerate(zoned):
        try:
            moment.cast(MOMENT)
        except pa.ArrowInvalid:
            return str(text[row])
    raise AssertionError("the cast of the whole failed")


def _invalid_time(came: str) -> QueryRefused:
    return QueryRefused(
        "a time in occurred_at of every row",
        came=came,
        do="return a timestamp or ISO 8601 text from the query (from seconds since 1970: "
        "to_timestamp(x); SQLite: datetime(x, 'unixepoch'))",
    )

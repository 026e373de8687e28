"""The canonical columns: whatever a database returns becomes id, phrase, occurred_at, region and labels of fixed types. Pure."""

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
FIRST, LAST = (pa.scalar(time.replace(tzinfo=UTC), MOMENT) for time in (datetime.min, datetime.max))
_OFFSET = r"(?i)\d\d:\d\d.*(z|[+-]\d\d(:?\d\d)?)$"
"""A zone at the end of a time."""


def canonical_schema(label_columns: Sequence[str]) -> pa.Schema:
    """id, phrase, occurred_at, region, then the labels in the order given."""
    texts = [pa.field(name, pa.string()) for name in ("id", "phrase")]
    labels = [pa.field(name, pa.string()) for name in label_columns]
    return pa.schema(
        [*texts, pa.field("occurred_at", MOMENT), pa.field("region", pa.string()), *labels]
    )


def choose_columns(returned: Sequence[str], label_columns: Sequence[str]) -> list[str]:
    """Return the canonical columns that the query has, in canonical order; raise `QueryRefused` naming the missing ones."""
    missing = [name for name in (*REQUIRED, *label_columns) if name not in returned]
    if missing:
        raise QueryRefused(
            f"the columns {', '.join((*REQUIRED, *label_columns))}",
            came=f"{', '.join(returned) or 'none'} (without {', '.join(missing)})",
            do="name the columns so in the query with `as`, or correct source.label",
        )
    wanted = [
        name
        for name in ("id", "phrase", "occurred_at", "region", *label_columns)
        if name in returned
    ]
    if twice := [
        name for name in wanted if returned.count(name) > 1 or f"{name}:1" in returned
    ]:  # as SQLite renames the second
        do = "name the columns with `as`, or list them instead of `*`"
        raise QueryRefused("each column once", came=f"{', '.join(twice)} more than once", do=do)
    return wanted


class Canonical:
    """Turns batches into canonical batches; counts equal rows without id across batches, which must come in order of time.

    `zoneless` counts the rows whose time came without a zone, and was taken as UTC.
    """

    def __init__(self, label_columns: Sequence[str]) -> None:
        self.schema, self.zoneless = canonical_schema(label_columns), 0
        self._time: object = None
        self._occurrences: Counter[bytes] = Counter()

    def convert(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Raise `QueryRefused` for times that are no times, and for rows without id where others have one."""
        columns = {name: batch.column(name) for name in batch.schema.names}
        made = {name: _text(column) for name, column in columns.items() if name != "occurred_at"}
        made["occurred_at"] = _moment(columns["occurred_at"])
        self.zoneless += _zoneless(columns["occurred_at"])
        if "id" in made and made["id"].null_count:
            do = "correct the query, or leave `id` out of it: rows are then known by what they hold"
            raise QueryRefused(
                "an id in every row", came=f"{made['id'].null_count} rows without one", do=do
            )
        made.setdefault("region", pa.nulls(len(batch), pa.string()))
        if "id" not in made:
            made["id"] = self._ids(made, columns["occurred_at"])
        return pa.record_batch([made[name] for name in self.schema.names], schema=self.schema)

    def _ids(self, columns: dict[str, pa.Array], times: pa.Array) -> pa.Array:
        """Hash of the row's content (the time as it came) and its occurrence among equal rows."""
        others = [
            _as_list(columns[name])
            for name in self.schema.names
            if name not in ("id", "occurred_at")
        ]
        came = _as_list(times if _is_text(times) else columns["occurred_at"])
        return pa.array([self._id(*row) for row in zip(came, *others, strict=True)], pa.string())

    def _id(self, time: object, *content: object) -> str:
        """Databases order by their collation, so equal rows need not be neighbours; but they share a time."""
        if time != self._time:
            self._time = time
            self._occurrences.clear()
        row = hashlib.blake2b(repr((time, *content)).encode(), digest_size=16)
        self._occurrences[row.digest()] += 1
        row.update(b"#%d" % self._occurrences[row.digest()])
        return row.hexdigest()


def _as_list(column: pa.Array) -> list[object]:
    return (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()


def _text(column: pa.Array) -> pa.Array:
    column = column.storage if isinstance(column, pa.ExtensionArray) else column
    text = (
        _decoded(column)
        if _is_text(column) or pa.types.is_binary(column.type)
        else column.cast(pa.string())
    )
    null = pc.equal(text, NULL_TEXT)
    return pc.if_else(null, pa.scalar(None, pa.string()), text) if pc.any(null).as_py() else text


def _is_text(column: pa.Array) -> bool:
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def _decoded(column: pa.Array) -> pa.Array:
    """Bytes that are no UTF-8 become replacement characters, which the checks count."""
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
    """Of texts, those without a zone at the end; of dates and timestamps all or none."""
    if _is_text(column):
        return len(column) - (
            pc.sum(pc.match_substring_regex(pc.utf8_trim_whitespace(column), _OFFSET)).as_py() or 0
        )
    return 0 if getattr(column.type, "tz", None) else len(column)


def _moment(column: pa.Array) -> pa.Array:
    try:
        moment = _as_utc(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _no_time(first_line(error)) from None
    if moment.null_count:
        raise _no_time(f"{moment.null_count} rows without one")
    if outside := pc.sum(pc.or_(pc.less(moment, FIRST), pc.greater(moment, LAST))).as_py():
        raise _no_time(f"{outside} rows of infinite times, or outside the years 1 to 9999")
    return moment


def _as_utc(column: pa.Array) -> pa.Array:
    """Times with a zone keep their moment; times without one are UTC."""
    if _is_text(column):
        return _parsed(_text(column))
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if not pa.types.is_timestamp(column.type):
        raise pa.ArrowInvalid(f"values of type {column.type}")
    return column.cast(MOMENT, safe=False)


def _parsed(text: pa.Array) -> pa.Array:
    """ISO 8601 with or without offset; a date alone is its midnight, what is shorter than a microsecond is cut off."""
    plain = pc.replace_substring_regex(
        pc.utf8_upper(pc.utf8_trim_whitespace(text)), r"(\.\d{6})\d+", r"\1"
    )
    dated = pc.if_else(
        pc.equal(pc.utf8_length(plain), 10),
        pc.binary_join_element_wise(plain, "00:00:00", "T"),
        plain,
    )
    zoned = pc.if_else(
        pc.match_substring_regex(dated, _OFFSET), dated, pc.binary_join_element_wise(dated, "Z", "")
    )
    try:
        return zoned.cast(MOMENT)
    except pa.ArrowInvalid:
        raise pa.ArrowInvalid(f"{_first_unread(text, zoned)!r}") from None


def _first_unread(text: pa.Array, zoned: pa.Array) -> str:
    """The first text that is no time, as it came."""
    for row, moment in enumerate(zoned):
        try:
            moment.cast(MOMENT)
        except pa.ArrowInvalid:
            return str(text[row])
    raise AssertionError("the cast of the whole failed")


def _no_time(came: str) -> QueryRefused:
    do = "return a timestamp or ISO 8601 text from the query (of seconds since 1970: to_timestamp(x); SQLite: datetime(x, 'unixepoch'))"
    return QueryRefused("a time in occurred_at of every row", came=came, do=do)

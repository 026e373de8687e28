"""Whatever a database returns becomes the canonical columns, or is refused by name."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from core.errors import QueryRefused
from pipelines.source.columns import MOMENT, Canonical, choose_columns


def convert(**columns: list) -> dict[str, list]:
    return Canonical(["block"]).convert(pa.record_batch(columns)).to_pydict()


NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        pa.array([NOON], pa.timestamp("us", "UTC")),
        pa.array([NOON], pa.timestamp("ns", "UTC")),
        pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us")),
        pa.array([NOON], pa.timestamp("s", "Europe/Berlin")),
        *(
            pa.array([text])
            for text in (
                "2025-06-01T12:00:00Z",
                "2025-06-01 12:00:00",
                "2025-06-01T14:00:00+02:00",
                "2025-06-01 12:00:00.000000+00",
                " 2025-06-01T12:00",
                "2025-06-01t12:00:00z",
                "2025-06-01 12:00:00.000000999",
            )
        ),
    ],
)
def test_times_come_out_as_utc(given: pa.Array) -> None:
    made = Canonical(["block"]).convert(
        pa.record_batch({"id": ["1"], "phrase": ["p"], "occurred_at": given, "block": ["A"]})
    )
    assert made.column("occurred_at").type == MOMENT
    assert made.column("occurred_at").to_pylist() == [NOON]


def test_a_date_is_its_midnight() -> None:
    midnight = datetime(2025, 6, 1, tzinfo=UTC)
    assert convert(id=["1"], phrase=["p"], occurred_at=[date(2025, 6, 1)], block=["A"])[
        "occurred_at"
    ] == [midnight]
    assert convert(id=["1"], phrase=["p"], occurred_at=["2025-06-01"], block=["A"])[
        "occurred_at"
    ] == [midnight]


@pytest.mark.parametrize(
    "wrong",
    [
        ["yesterday"],
        [None],
        [17],
        ["2025-13-01T00:00:00Z"],
        ["infinity"],
        pa.array([2**63 - 1], MOMENT),
        pa.array([-(2**62)], MOMENT),
    ],
)
def test_what_is_no_time_is_refused(wrong: list) -> None:
    with pytest.raises(QueryRefused, match="occurred_at"):
        convert(id=["1"], phrase=["p"], occurred_at=wrong, block=["A"])


def test_a_text_that_is_no_time_is_shown_as_it_came() -> None:
    with pytest.raises(QueryRefused) as refused:
        convert(
            id=["1", "2"],
            phrase=["p", "q"],
            occurred_at=["2025-06-01 10:00:00", "31.10.2026 23:28"],
            block=["A", "A"],
        )
    assert refused.value.came == "'31.10.2026 23:28'"


def test_an_id_is_in_every_row_or_in_none() -> None:
    with pytest.raises(QueryRefused, match="1 rows without one"):
        convert(id=["1", None], phrase=["p", "q"], occurred_at=[NOON, NOON], block=["A", "A"])


@pytest.mark.parametrize("second", ["block", "block:1"])
def test_a_column_that_comes_twice_is_refused(second: str) -> None:
    with pytest.raises(QueryRefused, match="block more than once"):
        choose_columns(["phrase", "occurred_at", "block", second], ["block"])


def test_columns_that_nobody_reads_may_come_twice() -> None:
    assert choose_columns(["phrase", "note", "note:1", "occurred_at", "block"], ["block"]) == [
        "phrase",
        "occurred_at",
        "block",
    ]


def test_ids_and_labels_become_text_and_region_may_be_missing() -> None:
    made = convert(block=[7], occurred_at=[NOON], phrase=["p"], id=[41])
    assert made == {
        "id": ["41"],
        "phrase": ["p"],
        "occurred_at": [NOON],
        "region": [None],
        "block": ["7"],
    }


def test_a_missing_id_is_made_from_content_and_occurrence_across_batches() -> None:
    canonical = Canonical(["block"])
    batch = pa.record_batch(
        {"phrase": ["a", "a", "b"], "occurred_at": [NOON] * 3, "block": ["A"] * 3}
    )
    ids = canonical.convert(batch).column("id").to_pylist()
    again = Canonical(["block"])
    split = [
        again.convert(part).column("id").to_pylist() for part in (batch.slice(0, 1), batch.slice(1))
    ]
    assert len(set(ids)) == 3 and split[0] + split[1] == ids


def test_missing_columns_are_named() -> None:
    with pytest.raises(QueryRefused, match=r"got id, text \(without phrase, occurred_at, block\)"):
        choose_columns(["id", "text"], ["block"])
    assert choose_columns(["block", "extra", "occurred_at", "phrase"], ["block"]) == [
        "phrase",
        "occurred_at",
        "block",
    ]


def test_a_zone_is_not_lost() -> None:
    east = datetime(2025, 6, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert convert(id=["1"], phrase=["p"], occurred_at=[east.isoformat()], block=["A"])[
        "occurred_at"
    ] == [NOON]


def test_equal_rows_need_not_be_neighbours_to_get_ids_of_their_own() -> None:
    """MySQL and SQL Server order `a` and `A` as equals."""
    turned = convert(phrase=["a", "A", "a"], occurred_at=["2025-06-01"] * 3, block=["B"] * 3)
    straight = convert(phrase=["a", "a", "A"], occurred_at=["2025-06-01"] * 3, block=["B"] * 3)
    assert len(set(turned["id"])) == 3 and set(turned["id"]) == set(straight["id"])


def test_bytes_that_are_no_utf8_show_as_replacement_characters() -> None:
    assert convert(id=["1"], phrase=[b"caf\xe9"], occurred_at=[NOON], block=[b"A"])["phrase"] == [
        "caf\ufffd"
    ]
    broken = pa.array([b"caf\xe9"]).view(pa.string())
    batch = pa.record_batch({"id": ["1"], "phrase": broken, "occurred_at": [NOON], "block": ["A"]})
    assert Canonical(["block"]).convert(batch)["phrase"].to_pylist() == ["caf\ufffd"]


@pytest.mark.parametrize(
    ("times", "zoneless"),
    [
        (
            ["2025-06-01", "2025-06-01T12:00:00", "2025-06-01T12:00:00Z", "2025-06-01 12:00:00+02"],
            2,
        ),
        ([date(2025, 6, 1)], 1),
        ([NOON], 0),
        ([NOON.replace(tzinfo=None)] * 3, 3),
    ],
)
def test_times_without_a_zone_are_counted(times: list, zoneless: int) -> None:
    canonical = Canonical(["block"])
    labels = ["A"] * len(times)
    canonical.convert(pa.record_batch({"phrase": labels, "occurred_at": times, "block": labels}))
    assert canonical.zoneless == zoneless


def test_seconds_since_1970_are_refused_with_the_call_that_makes_them_a_time() -> None:
    with pytest.raises(QueryRefused, match="'unixepoch'"):
        convert(id=["1"], phrase=["p"], occurred_at=["1735689600"], block=["A"])

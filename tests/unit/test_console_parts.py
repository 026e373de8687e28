"""Parts of the console that need no database: lines, stations, what waits in the journals."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from console.loop_picture import loop_stations
from console.rendering import make_environment
from console.sparklines import HEIGHT, WIDTH, sparkline
from core.english import counted
from core.settings import load_settings
from machine.journals import COUNTED, Waiting, waiting_rows
from machine.running_flows import RunningFlow
from monitoring.performance.hours import Hours
from tests.support.inferences import row


@given(st.lists(st.integers(min_value=0, max_value=10**7), min_size=1, max_size=48))
def test_a_line_stays_within_its_box(values: list[int]) -> None:
    points = [tuple(map(float, point.split(","))) for point in sparkline(values).split()]
    assert len(points) == len(values)
    assert all(0 <= x <= WIDTH + 0.1 and 0 <= y <= HEIGHT for x, y in points)
    largest = [y for value, (_, y) in zip(values, points, strict=True) if value == max(values)]
    assert set(largest) == {1.0 if max(values) else HEIGHT - 1.0}


def test_rows_of_all_journals_wait(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    assert waiting_rows(settings) == Waiting(0, 0)
    for folder, rows in (("journal", 3), ("journal-2", 2)):
        (tmp_path / folder / "feedback").mkdir(parents=True)
        lines = b"".join(b"00000000 " + row(number) + b",\n" for number in range(rows))
        (tmp_path / folder / "1.jsonl").write_bytes(lines)
    assert waiting_rows(settings).rows == 5


def test_shipped_rows_wait_no_longer(tmp_path: Path) -> None:
    line = b"00000000 " + row(1) + b",\n"
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "1.jsonl").write_bytes(line * 5)
    (tmp_path / "journal" / "1.position").write_text(str(3 * len(line)), encoding="ascii")
    assert waiting_rows(load_settings(home=tmp_path)) == Waiting(2, 2 * len(line))


def test_rows_of_long_journals_are_estimated(tmp_path: Path) -> None:
    line = b"00000000 " + row(1) + b",\n"
    (tmp_path / "journal").mkdir()
    count = 2 * COUNTED // len(line)
    (tmp_path / "journal" / "1.jsonl").write_bytes(line * count)
    assert abs(waiting_rows(load_settings(home=tmp_path)).rows - count) <= 2


def test_stations_say_when_prefect_is_away() -> None:
    train, *_ = loop_stations([], None, Waiting(0, 0), days=[])
    assert (train.state, train.needs_look) == ("Prefect does not answer", True)
    train, *_ = loop_stations([], [], Waiting(0, 0), days=[])
    assert (train.state, train.needs_look) == ("no flow runs", False)


def test_stations_count_in_english() -> None:
    flow = RunningFlow("retrain", None, "http://127.0.0.1/runs")
    assert loop_stations([], [flow], Waiting(0, 0), days=[])[0].state == "1 flow runs"
    assert loop_stations([], [flow, flow], Waiting(0, 0), days=[])[0].state == "2 flows run"


def test_one_is_singular() -> None:
    assert [counted(count, "answer") for count in (0, 1, 2000)] == [
        "0 answers",
        "1 answer",
        "2,000 answers",
    ]
    last_day = Hours((0,) * 23 + (1,), cached=0)
    log = loop_stations([], [], Waiting(1, 80), days=[last_day])[3]
    assert log.state == "1 answer in the last day, 1 row in the journal"


def test_only_what_stands_between_backticks_is_code() -> None:
    shown = make_environment().from_string("{{ text|code }}").render(text="do `a <b>`, <i>")
    assert shown == "do <code>a &lt;b&gt;</code>, &lt;i&gt;"

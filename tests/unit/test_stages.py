"""One line per stage on the screen; the log in a file."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from cli.stages import LiveScreen, PlainScreen, Stages, count_stages, shown_stages
from core.errors import Busy
from core.logs import configure_logs, get_logger, listening, timed
from core.settings import Settings, load_settings
from operations.demo.run import DemoFailed, DemoRun

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    configure_logs("json")
    yield
    structlog.reset_defaults()


@pytest.fixture
def settings(tmp_home: Path) -> Settings:
    return load_settings(home=tmp_home)


class Parts(PlainScreen):
    """A screen that keeps what a bar would show."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        super().__init__(self.text)
        self.expected: int | None = None
        self.done: list[bool] = []
        self.shown: list[str] = []

    def begin(self, title: str, parts: int | None) -> None:
        self.expected = parts

    def advance(self, title: str, *, done: bool) -> None:
        self.shown.append(title)
        self.done.append(done)


def shown(work: Callable[[], object]) -> Parts:
    screen = Parts()
    with listening(Stages(screen, {"train classifiers": 3}).follow):
        work()
    return screen


def test_a_stage_is_one_line_with_its_seconds_and_its_classifier() -> None:
    def work() -> None:
        with (
            structlog.contextvars.bound_contextvars(classifier="block"),
            timed("compare with champion"),
        ):
            get_logger().info("rows read", rows=7)

    [line] = shown(work).text.getvalue().splitlines()
    assert line.startswith("Compare with champion (block) ")
    assert line.endswith(" 0.0 s")


def test_what_a_stage_consists_of_fills_its_bar_and_has_no_line() -> None:
    def work() -> None:
        with timed("train classifiers"):
            with timed("stage embed"):
                get_logger().info("stage output", line="> python -m pipelines embed")
            get_logger().info("stage output", line="Stage 'split@block' didn't change, skipping")

    screen = shown(work)
    assert screen.expected == 3
    assert screen.done.count(True) == 2
    assert screen.shown[-1] == "stage split@block unchanged"
    assert len(screen.text.getvalue().splitlines()) == 1


def test_a_stage_that_fails_says_so_even_when_a_part_of_it_was_killed() -> None:
    def work() -> None:
        with pytest.raises(Busy), timed("train classifiers"):
            get_logger().info("stage train", state="start")
            raise Busy("no other run", came="one", do="wait")
        with timed("publish lock"):
            pass

    failed, after = shown(work).text.getvalue().splitlines()
    assert failed.startswith("Train classifiers ") and failed.endswith("failed")
    assert after.startswith("Publish lock ")


def test_an_outcome_stands_below_its_stage() -> None:
    def work() -> None:
        get_logger().info("Watch for drift", state="start")
        get_logger().info("Watch for drift", state="end", seconds=1.5, outcome="steady: calm")

    lines = shown(work).text.getvalue().splitlines()
    assert lines[1] == "    steady: calm"


@pytest.mark.parametrize("classifiers", [1, 2])
def test_the_bar_counts_the_stages_of_the_pipeline(classifiers: int) -> None:
    assert count_stages(ROOT, classifiers) == 4 + 7 * classifiers


def test_the_log_of_this_process_and_its_children_goes_to_the_home(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logs("json")
    with shown_stages(settings, "retrain", verbose=False), timed("take snapshot"):
        os.write(2, b"a library of C++\n")
        os.system("echo a program >&2")
    log = (settings.home / "logs" / "retrain.log").read_text(encoding="utf-8")
    assert "a library of C++" in log and "a program" in log
    screen = capfd.readouterr().err
    assert [line.split()[0] for line in screen.splitlines() if not line.startswith("{")] == ["Take"]


def test_after_a_failure_the_screen_names_the_log_and_is_free_again(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Busy), shown_stages(settings, "watch", verbose=False):
        raise Busy("no other run", came="one", do="wait")
    os.write(2, b"free again\n")
    assert capfd.readouterr().err == f"the log: {settings.home}/logs/watch.log\nfree again\n"


def test_verbose_brings_the_log_back(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with shown_stages(settings, "retrain", verbose=True), timed("take snapshot"):
        pass
    lines = capsys.readouterr().err.splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert [event["state"] for event in events] == ["start", "end"]
    assert not (settings.home / "logs").exists()


def test_a_large_log_is_set_aside(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.stages.KEPT_BYTES", 3)
    for text in ("first", "second"):
        with shown_stages(settings, "watch", verbose=False):
            os.write(2, text.encode())
    logs = settings.home / "logs"
    assert (logs / "watch.log.1").read_text() == "first"
    assert (logs / "watch.log").read_text() == "second"


def test_on_a_terminal_a_bar_moves_and_each_stage_leaves_one_line() -> None:
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as terminal:
        screen = LiveScreen(terminal)
        with listening(Stages(screen, {"train classifiers": 2}).follow):
            with timed("train classifiers"), timed("stage embed"):
                screen.progress.refresh()
            with timed("package"):
                pass
        screen.progress.stop()
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "Train classifiers: stage embed" in plain
    assert re.findall(r"(\w[\w ]+?) +[0-9.]+ s\b", plain) == ["Train classifiers", "Package"]


def test_a_step_of_the_demo_is_a_stage_with_its_outcome(settings: Settings) -> None:
    run = DemoRun(settings, "small")

    def work() -> None:
        with run.step("Play traffic") as step:
            step.outcome = "weighted F1 0.9"
        with pytest.raises(DemoFailed), run.step("Watch") as step:
            step.outcome = "steady: calm"
            step.require(False, "a verdict of drift")

    lines = shown(work).text.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines[::2]] == ["Play traffic", "Watch"]
    assert lines[1] == "    weighted F1 0.9"
    assert lines[2].endswith("failed")
    assert [part["part"] for part in run.parts] == ["Play traffic"]


def test_a_step_that_fails_without_an_outcome_is_not_done(settings: Settings) -> None:
    run = DemoRun(settings, "small")

    def work() -> None:
        with run.step("Wait for labels"):
            pass
        with pytest.raises(OSError), run.step("Play traffic"):
            raise OSError("connection refused")

    lines = shown(work).text.getvalue().splitlines()
    assert lines[1] == "    done"
    assert len(lines) == 3 and lines[2].endswith("failed")

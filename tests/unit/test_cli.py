"""The command line: exit codes, errors, JSON, help. The modules behind it are replaced."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cli import app as cli
from cli import lineage, rollout, setup
from cli.output import output
from core.contracts import Deployment, ModelVersion, Prediction, Role, Rollout, Verdict
from core.errors import Busy, InvalidPhrase, UncommittedChanges
from core.pins import Pin
from flows import answering
from flows import rollout as by_hand
from flows.answering import Champion
from lineage import reproduce
from machine import processes
from machine import status as program_status
from machine.status import ProgramStatus
from operations.setup import remove as removing
from pipelines.phrase_files import read_phrases
from tests.support.pins import pin_of

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "demo",
    "up",
    "down",
    "status",
    "open",
    "logs",
    "new",
    "remove",
    "snapshot",
    "retrain",
    "serve",
    "keys",
    "classify",
    "console",
    "explain",
    "history",
    "answers",
    "quality",
    "watch",
    "doctor",
    "lineage",
    "reproduce",
    "replay",
    "loadtest",
    "advise",
]
NESTED = [
    "feedback import",
    "feedback export",
    "users add",
    "users list",
    "users remove",
    "users role",
    "users password",
    "rollout status",
    "rollout promote",
    "rollout reject",
    "rollout rollback",
    "rollout shadow",
    "rollout canary",
    "pins list",
    "pins add",
    "pins remove",
]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.fixture(autouse=True)
def home(tmp_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_home))


def test_the_demo_snapshot_has_a_moment_of_its_own() -> None:
    answer = run("snapshot", "--demo", "--as-of", "2026-03-01")
    assert answer.exit_code == 2
    assert "--as-of" in answer.output


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(processes, "down", down)


def show_programs(monkeypatch: pytest.MonkeyPatch, *states: str) -> None:
    programs = [
        ProgramStatus("prefect", "flows", state, "http://127.0.0.1:4200", 7, Path("x.log"))
        for state in states
    ]
    monkeypatch.setattr(program_status, "status", lambda settings: programs)


@pytest.mark.parametrize("command", COMMANDS + NESTED)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    answer = run(*command.split(), "--help")
    assert answer.exit_code == 0
    assert "Example: " in answer.output
    assert f"perennial {command}" in " ".join(answer.output.split())
    assert "--json" in answer.output


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command_once_in_groups_with_whole_lines(flag: str) -> None:
    answer = run(flag)
    text = answer.output
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    top = {name.split()[0] for name in COMMANDS + NESTED}
    assert top <= set(listed)
    assert {name: listed.count(name) for name in top} == dict.fromkeys(top, 1)
    assert "\nTrain:\n" in text and "Commands:" not in text
    assert "..." not in text.partition("\nStart:\n")[2]
    nested = run("rollout", flag).output
    assert "canary" in nested and "..." not in nested.partition("Commands:")[2]


def test_the_version_is_that_of_the_checkout() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert run("--version").stdout == f"perennial {project['version']}\n"


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    return opened


@pytest.mark.parametrize(
    ("page", "address"),
    [("mlflow", ":5000"), ("prefect", ":4200"), ("block", "/#/models/block")],
)
def test_open_opens_a_page_and_prints_its_address(
    browser: list[str], page: str, address: str
) -> None:
    answer = run("open", page)
    assert answer.exit_code == 0
    assert browser == [answer.stdout.strip()]
    assert browser[0].endswith(address)


def test_logs_prints_the_newest_lines_of_a_program(tmp_home: Path) -> None:
    (tmp_home / "logs").mkdir(parents=True)
    (tmp_home / "logs" / "mlflow.log").write_text("first\nsecond\nthird\n")
    assert json.loads(run("logs", "mlflow", "-n", "2", "--json").stdout)["lines"] == [
        "second",
        "third",
    ]
    assert "(no log)" in run("logs", "retrain").stdout


@pytest.mark.parametrize(
    ("query", "kept", "files"),
    [("queries/q.sql", "", "queries/q.sql params.yaml"), ("", "queries/q.sql", "params.yaml")],
)
def test_remove_says_which_query_it_kept_and_names_what_git_knows(
    monkeypatch: pytest.MonkeyPatch, query: str, kept: str, files: str
) -> None:
    removal = removing.Removal("block", query=query, kept=kept, champion="", running=False)
    loop = SimpleNamespace(settings=None)
    monkeypatch.setattr(setup, "command_context", lambda: nullcontext(loop))
    monkeypatch.setattr(removing, "remove", lambda *_, **__: removal)
    answer = run("remove", "block", "--no-commit")
    assert ("kept: queries/q.sql, which is not committed" in answer.stdout) is bool(kept)
    assert f"next: git add --all {files} && git commit" in answer.stderr


@pytest.mark.parametrize("command", ["open", "logs"])
def test_a_page_or_a_program_that_does_not_exist_is_misuse(
    browser: list[str], command: str
) -> None:
    answer = run(command, "nonsense")
    assert (answer.exit_code, browser) == (2, [])
    assert "mlflow" in answer.stderr


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, cli.app;"
        "heavy = {'prefect', 'mlflow', 'sqlalchemy', 'tensorflow', 'pandas', 'numpy', 'pydantic'};"
        "print(sorted((heavy | {'rich'}) & set(sys.modules)))"
    )
    began = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert answer.stdout.strip() == "[]"
    assert time.monotonic() - began < 3  # 0.25 s on an idle core


def test_a_failure_says_wanted_came_and_do(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, Busy("no other run", came="one under way", do="wait"))
    answer = run("down")
    assert answer.exit_code == 1
    assert [line.split()[0] for line in answer.stderr.splitlines()] == ["Error:", "got:", "do:"]
    assert answer.stdout == ""


@pytest.mark.parametrize("arguments", [("--json", "down"), ("down", "--json")])
def test_a_failure_as_json_is_one_object_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    fail_with(monkeypatch, Busy("no other run", came="one under way", do="wait"))
    error = json.loads(run(*arguments).stderr)["error"]
    assert error == {
        "code": "busy",
        "wanted": "no other run",
        "came": "one under way",
        "do": "wait",
        "retryable": True,
    }


def test_json_of_one_call_does_not_stay_for_the_next() -> None:
    run("--json", "nonsense")
    assert run("nonsense").stderr.startswith("Usage")


def test_misuse_is_two(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, UncommittedChanges("a clean checkout", came="params.yaml", do="commit"))
    assert run("down").exit_code == 2
    assert run("nonsense").exit_code == 2
    assert run("retrain", "nonsense").exit_code == 2
    assert run("classify", "block").exit_code == 2
    assert run("demo", "--scale", "huge").exit_code == 2
    assert run("replay", "nonsense").exit_code == 2
    assert run("lineage", "0198c1f2-6d0e-7c31-9f3e-2b1f6f0c8a55", "3").exit_code == 2
    assert json.loads(run("--json", "nonsense").stderr)["error"]["code"] == "misuse"


def test_a_wrong_setting_is_misuse_and_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_PORT", "70000")
    answer = run("status")
    assert answer.exit_code == 2
    assert "PERENNIAL_MLFLOW_PORT" in answer.stderr


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), typer.Abort()], ids=["while it works", "at a question"]
)
def test_an_interrupt_is_one_line_and_130(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    fail_with(monkeypatch, error)
    answer = run("down")
    assert (answer.exit_code, answer.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("state", "code"), [("ready", 0), ("waiting", 0), ("down", 3), ("starting", 3), ("failed", 3)]
)
def test_status_says_no_when_something_does_not_run(
    monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    show_programs(monkeypatch, "ready", state)
    assert run("status").exit_code == code


def test_a_program_that_does_not_run_needs_attention_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    show_programs(monkeypatch, "ready", "failed")
    assert run("status").stdout.splitlines()[:3] == ["Needs attention:", "  prefect: failed", ""]
    show_programs(monkeypatch, "ready")
    assert run("status").stdout.startswith("name ")


def test_status_shows_what_stands_beside_the_champion(monkeypatch: pytest.MonkeyPatch) -> None:
    plays = {
        role: Deployment(ModelVersion("block", version, "m", "d", "e"), role, share, NOW, "test")
        for role, version, share in BLOCK
    }
    rollouts = {"block": Rollout(**plays), "phase": Rollout(champion=plays["champion"])}
    show_programs(monkeypatch, "ready")
    monkeypatch.setattr(answering, "rollouts_of", lambda settings: rollouts)
    status = json.loads(run("status", "--json").stdout)
    assert {name: row["model"]["version"] for name, row in status["champions"].items()} == {
        "block": "3",
        "phase": "3",
    }
    beside = {
        name: [(row["role"], row["model"]["version"], row["share"]) for row in rows]
        for name, rows in status["beside"].items()
    }
    assert beside == {"block": [("canary", "4", 0.1), ("shadow", "5", 1.0)]}
    assert "canary 10 %" in run("status").stdout


NOW = datetime(2026, 1, 1, tzinfo=UTC)
BLOCK: tuple[tuple[Role, str, float], ...] = (
    ("champion", "3", 1.0),
    ("canary", "4", 0.1),
    ("shadow", "5", 1.0),
)


BY_HAND = [
    ("rollback", "block"),
    ("promote", "block", "2"),
    ("promote", "block", "--version", "2"),
]


@pytest.mark.parametrize("command", BY_HAND)
@pytest.mark.parametrize(("embedder", "bentos"), [("e", []), ("another", ["another"])])
def test_a_champion_of_another_embedder_gets_a_service_of_its_own(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], embedder: str, bentos: list[str]
) -> None:
    built: list[str] = []
    present = ModelVersion("block", "3", "m", "d", "e")
    earlier = ModelVersion("block", "2", "m", "d", embedder)
    loop = SimpleNamespace(
        champions=lambda: {"block": present},
        engine=SimpleNamespace(connect=nullcontext),
        registry=None,
        params=SimpleNamespace(classifiers={}),
        settings=SimpleNamespace(models=None),
    )
    monkeypatch.setattr(rollout, "_context", lambda classifier: nullcontext(loop))
    for name, replacement in {
        "roll_back": lambda *_, **__: earlier,
        "promote": lambda *_, **__: None,
        "stored_version": lambda *_, **__: earlier,
        "rejected_versions": lambda *_: {},
        "package_champions": lambda _, embedder, **__: built.append(embedder),
        "restart_service": lambda settings, *, report: True,
    }.items():
        monkeypatch.setattr(by_hand, name, replacement)
    assert run("rollout", *command).exit_code == 0
    assert built == bentos


def test_a_forced_promotion_and_a_rejection_need_a_reason() -> None:
    forced = run("rollout", "promote", "block", "2", "--force")
    assert forced.exit_code == 2 and "--force requires a reason" in forced.output
    assert run("rollout", "reject", "block", "2").exit_code == 2


def test_status_as_json_holds_every_program(monkeypatch: pytest.MonkeyPatch) -> None:
    show_programs(monkeypatch, "ready")
    status = json.loads(run("status", "--json").stdout)
    assert status["programs"][0] | {"log": ""} == {
        "name": "prefect",
        "does": "flows",
        "state": "ready",
        "address": "http://127.0.0.1:4200",
        "pid": 7,
        "log": "",
        "detail": "",
    }
    assert status["champions"] == {}


def champion_of(classifier: Any, *pins: Pin) -> Champion:
    return Champion("7", classifier, {pin.cleaned: pin for pin in pins})


def test_classify_answers_in_order_one_object_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Echo:
        def predict(self, phrases: list[str], *, top: int) -> list[Prediction]:
            return [Prediction(phrase.upper(), 0.5) for phrase in phrases]

    monkeypatch.setattr(answering, "open_champion", lambda *_: champion_of(Echo()))
    file = tmp_path / "phrases.csv"
    file.write_text(
        "id,text\n" + "".join(f"{row},phrase {row}\n" for row in range(3000)), encoding="utf-8"
    )
    rows = [
        json.loads(line)
        for line in run(
            "classify", "block", "--file", str(file), "--column", "text", "--json"
        ).stdout.splitlines()
    ]
    assert [row["phrase"] for row in rows] == [f"phrase {row}" for row in range(3000)]
    assert rows[0] == {
        "phrase": "phrase 0",
        "label": "PHRASE 0",
        "probability": 0.5,
        "classifier": "block",
        "version": "7",
        "pinned": False,
        "abstained": False,
    }


def test_classify_answers_pinned_phrases_as_the_service_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Heart:
        def predict(self, phrases: list[str], *, top: int) -> list[Prediction]:
            return [Prediction("heart", 0.5) for _ in phrases]

    champion = champion_of(Heart(), pin_of("a b", "lung"), pin_of("c", "heart", 2))
    monkeypatch.setattr(answering, "open_champion", lambda *_: champion)
    lines = run("classify", "block", "A  b", "c", "d", "--json").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["label"], row["probability"], row["pinned"]) for row in rows] == [
        ("lung", 1.0, True),
        ("heart", 0.5, False),
        ("heart", 0.5, False),
    ]
    assert run("classify", "block", "A  b").stdout == "lung\tpinned\tA  b\n"


def test_classify_refuses_as_the_service_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unsure:
        def predict(self, phrases: list[str], *, top: int) -> list[Prediction]:
            return [Prediction("heart", 0.2, abstained=True) for _ in phrases]

    champion = champion_of(Unsure(), pin_of("same", "heart"), pin_of("other", "lung", 2))
    monkeypatch.setattr(answering, "open_champion", lambda *_: champion)
    lines = run("classify", "block", "odd", "same", "other", "--json").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["label"], row["pinned"], row["abstained"]) for row in rows] == [
        ("heart", False, True),
        ("heart", False, False),
        ("lung", True, False),
    ]
    assert run("classify", "block", "odd").stdout == "none of these (heart)\t0.200\todd\n"


@pytest.mark.parametrize(
    "content", ["text\n\n \n", "other\nx\n", "text\n" + "x" * 5000, "text\n" + "x" * 200_000]
)
def test_classify_refuses_what_the_service_would(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    monkeypatch.setattr(answering, "open_champion", lambda *_: champion_of(None))
    file = tmp_path / "phrases.csv"
    file.write_text(content, encoding="utf-8")
    answer = run("--json", "classify", "block", "--file", str(file), "--column", "text")
    assert (answer.exit_code, json.loads(answer.stderr.splitlines()[-1])["error"]["code"]) == (
        2,
        "invalid_phrase",
    )


@pytest.mark.parametrize("phrase", ["a\0b", "caf\udce9"])
def test_classify_answers_no_text_that_the_service_refuses(phrase: str) -> None:
    answer = run("--json", "classify", "block", "fine", phrase)
    assert (answer.exit_code, answer.stdout) == (2, "")
    error = json.loads(answer.stderr.splitlines()[-1])["error"]
    assert (error["code"], error["came"].split()[-2:]) == ("invalid_phrase", ["row", "2"])


@pytest.mark.parametrize(("before", "after"), [(b"a\0b", "NUL"), (b"caf\xe9", "UTF-8")])
def test_classify_refuses_such_text_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: bytes, after: str
) -> None:
    monkeypatch.setattr(answering, "open_champion", lambda *_: champion_of(None))
    file = tmp_path / "phrases.txt"
    file.write_bytes(b"fine\n" + before + b"\n")
    answer = run("classify", "block", "--file", str(file))
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert after in answer.stderr


WRIST = 'fx of "left", wrist'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_phrases_are_read_from_what_spreadsheets_save(
    tmp_path: Path, encoding: str, delimiter: str
) -> None:
    rows = [["id", "text"], ["1", '"fx of ""left"", wrist"'], ["2", "größe"]]
    file = tmp_path / "phrases.csv"
    file.write_bytes("\r\n".join(map(delimiter.join, rows)).encode(encoding))
    assert list(read_phrases(file, "text")) == [WRIST, "größe"]


@pytest.mark.parametrize(
    ("content", "came"),
    [
        (b'id,text\n1,fever\n2,"fx\n3,cough\n4,flu', "line 3: .* a quote is not closed"),
        (b'id,text\n1,fever\n2,"fx\n3,"cough"\n4,flu', "line 3: .* a quote is not closed"),
        (b"text\nfever\nfx of wrist, left", "line 3: expected 1 values"),
        (b"id,text\n1,fever\n2,gr\xf6\xdfe", "line 3: bytes that are not UTF-8"),
        ("id,text\n1,fever".encode("utf-16-be"), "UTF-16 without a byte order mark"),
        (b"id text\n1 fever", r"id text \(without text\)"),
        (b"id,text,text\n1,fever,fx", "text more than once"),
    ],
)
def test_no_phrase_of_a_damaged_file_is_swallowed(
    tmp_path: Path, content: bytes, came: str
) -> None:
    file = tmp_path / "phrases.csv"
    file.write_bytes(content)
    with pytest.raises(InvalidPhrase, match=came):
        list(read_phrases(file, "text"))


@pytest.mark.parametrize("home", ["file", "file/below", "/proc/below"])
@pytest.mark.parametrize(
    "command", ["up", "down", "retrain block", "lineage block", "classify block cough"]
)
def test_a_home_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, home: str
) -> None:
    tmp_path.joinpath("file").touch()
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / home))
    answer = run("--json", *command.split())
    error = json.loads(answer.stderr.splitlines()[-1])["error"]
    assert (answer.exit_code, error["code"], error["wanted"].split()[0]) == (
        2,
        "settings_invalid",
        "PERENNIAL_HOME",
    )


@pytest.mark.parametrize(("kind", "code"), [("identical", 0), ("equivalent", 0), ("different", 3)])
def test_a_reproduction_that_differs_is_three(
    monkeypatch: pytest.MonkeyPatch, kind: str, code: int
) -> None:
    verdict = Verdict(kind, ("other bytes in head",), {"rows": {}})
    result = reproduce.Reproduction("block", "1", verdict, "retrain-x", "abc", 1.0, (), ())
    monkeypatch.setattr(lineage, "command_context", nullcontext)
    monkeypatch.setattr(reproduce, "reproduce", lambda *_: result)
    assert run("reproduce", "block", "1").exit_code == code
    assert json.loads(run("reproduce", "block", "1", "--json").stdout)["verdict"]["kind"] == kind


def test_a_text_file_is_one_phrase_a_line(tmp_path: Path) -> None:
    file = tmp_path / "phrases.txt"
    file.write_text("one, two\nthree\n", encoding="utf-8")
    assert list(read_phrases(file, None)) == ["one, two", "three"]


@pytest.mark.parametrize(("kind", "code"), [("promote", 0), ("reject", 3), ("wait", 3)])
def test_a_verdict_that_says_no_is_three(kind: str, code: int) -> None:
    from cli.flow import _show

    app = typer.Typer(cls=cli.Perennial)
    app.callback()(lambda: None)

    @app.command()
    def judge() -> None:
        _show(output(), {"block": Verdict(kind, ("because",))}, good={"promote"})

    answer = CliRunner().invoke(app, ["judge"])
    assert answer.exit_code == code
    assert "because" in answer.stdout

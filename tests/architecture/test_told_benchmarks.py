"""Every `python -m benchmarks.NAME [options]` that README and docs name is one that the program's own parser takes; none is left out."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.architecture.test_map import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)
CALL = "python -m benchmarks."
REFUSED = """
import argparse, json, runpy, shlex, sys

class Parsed(BaseException):
    pass

def parse(parser, *given, real=argparse.ArgumentParser.parse_args):
    real(parser, *given)
    raise Parsed

def refuse(parser, message):
    raise ValueError(message)

argparse.ArgumentParser.parse_args, argparse.ArgumentParser.error = parse, refuse
refused = {}
for call in json.loads(sys.argv[1]):
    program, *sys.argv[1:] = shlex.split(call)
    try:
        runpy.run_module("benchmarks." + program, run_name="__main__")
        refused[call] = "no arguments were parsed"
    except Parsed:
        pass
    except Exception as error:
        refused[call] = str(error)
print(json.dumps(refused))
"""


def calls(text: str) -> list[str]:
    """What follows `benchmarks.` in lines of fenced blocks and in inline code; what is optional is taken, comments are not."""
    fenced = re.findall(r"^ *```.*?^ *```$", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(
        r"`([^`]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    lines = [line.partition("  #")[0] for line in (*"\n".join(fenced).splitlines(), *inline)]
    return [
        re.sub(r"[\[\]]", "", line.partition(CALL)[2]).strip() for line in lines if CALL in line
    ]


def meant(call: str) -> list[str]:
    """`NAME` is any of the programs."""
    return (
        [call.replace("NAME", program) for program in PROGRAMS]
        if call.startswith("NAME")
        else [call]
    )


SHOWN = [
    call
    for page in PAGES
    for call in calls(page.read_text(encoding="utf-8"))
    if not call.startswith("NAME")
]
TOLD = sorted(
    {
        one
        for page in PAGES
        for call in calls(page.read_text(encoding="utf-8"))
        for one in meant(call)
    }
)
WRONG = ["drift --rounds 3", "loop --only small", "serving --rounds", "speed"]


@pytest.fixture(scope="module")
def refused() -> dict[str, str]:
    """The calls that a program's parser, or Python, does not take, with the reason. Each program runs up to its parsed arguments."""
    asked = json.dumps([*TOLD, *WRONG])
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_call_of_a_benchmark_is_taken(refused: dict[str, str]) -> None:
    assert len(TOLD) > 20
    assert {call: refused[call] for call in TOLD if call in refused} == {}


def test_a_wrong_call_is_refused(refused: dict[str, str]) -> None:
    assert set(WRONG) - set(refused) == set()


def test_no_call_escapes() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert len(calls(text)) == text.count(CALL), f"{page.name}: write it as code"


def test_every_benchmark_is_told() -> None:
    assert set(PROGRAMS) - {call.split()[0] for call in SHOWN} == set()

"""Documented calls of benchmarks are accepted by their parsers; no benchmark is left out."""

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
BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
REFUSED = """
import argparse, json, runpy, shlex, sys

class Parsed(BaseException):
    pass

def parse(parser, *given, real=argparse.ArgumentParser.parse_args):
    real(parser, *given)
    raise Parsed

def refuse(parser, message):
    raise ValueError(message)

argparse.ArgumentParser.parse_args = parse
argparse.ArgumentParser.error = refuse
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
    """What follows `benchmarks.` in fenced blocks and inline code, with optional parts."""
    fenced = BLOCK.findall(text)
    inline = re.findall(r"`([^`]+)`", BLOCK.sub("", text))
    lines = [line.partition("  #")[0] for line in (*"\n".join(fenced).splitlines(), *inline)]
    return [
        re.sub(r"[\[\]]", "", line.partition(CALL)[2]).strip() for line in lines if CALL in line
    ]


def expanded(call: str) -> list[str]:
    """`NAME` stands for each of the programs."""
    if call.startswith("NAME"):
        return [call.replace("NAME", program) for program in PROGRAMS]
    return [call]


DOCUMENTED = [call for page in PAGES for call in calls(page.read_text(encoding="utf-8"))]
EXPANDED = sorted({call for documented in DOCUMENTED for call in expanded(documented)})
WRONG = ["drift --rounds 3", "loop --only small", "serving --rounds", "speed"]


@pytest.fixture(scope="module")
def refused() -> dict[str, str]:
    """Calls that a program refuses, and why. Programs run until their arguments are parsed."""
    all_calls = json.dumps([*EXPANDED, *WRONG])
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, all_calls],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_documented_call_is_accepted(refused: dict[str, str]) -> None:
    assert len(EXPANDED) > 20
    assert {call: refused[call] for call in EXPANDED if call in refused} == {}


def test_a_wrong_call_is_refused(refused: dict[str, str]) -> None:
    assert set(WRONG) - set(refused) == set()


def test_no_call_escapes() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert len(calls(text)) == text.count(CALL), f"{page.name}: write it as code"


def test_every_benchmark_is_documented() -> None:
    named = {call.split()[0] for call in DOCUMENTED if not call.startswith("NAME")}
    assert set(PROGRAMS) - named == set()

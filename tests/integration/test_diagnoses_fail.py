"""A retraining whose diagnoses all crash ends with a candidate, and its pages say what is missing.

The code of the clone that retrains is broken by a commit.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.retrainings import Place, verdict

BROKEN = (
    "pipelines/labels/splitting.py",
    "pipelines/errors/slices.py",
    "pipelines/bias/clustered.py",
)
CRASH = '\n\ndef {name}(*_: object, **__: object) -> None:\n    raise IndexError("planted")\n'
NAMES = ("simulate_splits", "cut_slices", "_variance")


def commit(clone: Path, message: str) -> None:
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *author, "commit", "-aqm", message], cwd=clone, check=True)


@pytest.fixture
def broken(place_with_champion: Place) -> Iterator[Place]:
    clone = place_with_champion.settings.repository
    sound = {name: (clone / name).read_text() for name in BROKEN}
    for file, name in zip(BROKEN, NAMES, strict=True):
        (clone / file).write_text(sound[file] + CRASH.format(name=name))
    commit(clone, "Break the diagnoses")
    yield place_with_champion
    for file, text in sound.items():
        (clone / file).write_text(text)
    commit(clone, "Mend the diagnoses")


def test_a_retraining_survives_diagnoses_that_crash(broken: Place) -> None:
    before = str(broken.champion())
    done = broken.retrain()
    assert verdict(done) == "promote"
    version = str(broken.champion())
    assert version != before
    assert done.stderr.count("IndexError: planted") >= 3  # the log has each traceback

    [row] = broken.rows(
        "select reasons, evidence from decision where subject = 'gate' order by id desc limit 1"
    )
    assert "evaluation" in row.evidence["bias_not_measured"]
    assert any("bias was not measured" in reason for reason in row.reasons)
    found = httpx.post(
        f"{broken.settings.prefect_url}/api/artifacts/filter",
        json={"artifacts": {"key": {"any_": ["verdict-organ", "cards-organ"]}}},
        trust_env=False,
    ).json()
    pages = [artifact["data"] for artifact in found]
    [page] = [text for text in pages if text.startswith(f"# organ version {version}: promote")]
    for sentence in (
        "Bias that was not measured:",
        "Errors were not measured: IndexError: planted",
        "Labels were not judged: IndexError: planted",
    ):
        assert sentence in page
    [card] = [text for text in pages if f"# Model card: organ version {version}\n" in text]
    assert "not measured: IndexError: planted" in card

    shown = broken.run("cli.app", "errors", "organ")
    assert shown.returncode == 0, shown.stderr[-4000:]
    assert "Errors were not measured: IndexError: planted" in shown.stdout
    checked = broken.run("cli.app", "cards", "check", "organ")
    assert checked.returncode == 0, checked.stderr[-4000:]
    listed = broken.run("cli.app", "--json", "suspects", "organ")
    assert f"version {version}: IndexError" in json.loads(listed.stdout)["not_judged"]

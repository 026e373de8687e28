"""The doctor's questions: a bad answer is an answer, not a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import load_settings
from machine import doctor
from machine.doctor import QUESTIONS, examine


def test_a_repository_that_is_not_there_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(repository=tmp_path / "none", home=tmp_path / "home")
    questions = {**QUESTIONS, "database": lambda settings: (True, "not asked", "")}
    monkeypatch.setattr(doctor, "QUESTIONS", questions)
    findings = {finding.name: finding for finding in examine(settings)}
    assert not findings["git"].ok and "PERENNIAL_REPOSITORY" in findings["git"].do
    assert not findings["params.yaml"].ok
    assert findings["python"].ok and findings["database"].found == "not asked"

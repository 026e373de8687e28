"""What a lineage's page says of one answer."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from lineage.page import answer_line
from tests.support.inferences import inference


@pytest.mark.parametrize(
    ("revision", "version"),
    [
        (7, "by version 1 (champion) with revision 7 of the memory at"),
        (None, "by version 1 (champion) at"),
    ],
)
def test_an_answer_names_the_revision_of_the_memory_that_helped_to_give_it(
    revision: int | None, version: str
) -> None:
    line = answer_line({**asdict(inference(1, revision=revision)), "flags": []})
    assert line.startswith("heart (0.750) ") and version in line

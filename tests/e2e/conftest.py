"""One small loop, played once for all end-to-end tests, in a clone, a home and ports of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.installations import Place, new_place

PARAMS = """
seed: 7
classifiers:
  block:
    source: {query: queries/diagnoses.sql, label: block}
    head: {kind: logistic}
    gate: {min_weighted_f1: 0.5, max_weighted_f1_drop: 0.05}   # 300 test rows: the bound is wide
"""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = new_place(tmp_path_factory.mktemp("place"))
    place.clone.joinpath("params.yaml").write_text(PARAMS, encoding="utf-8")
    place.commit("One classifier")
    yield place
    place.perennial("down")


@pytest.fixture(scope="session")
def played(place: Place) -> dict[str, Any]:
    """The summary of the demo story on 20,000 rows."""
    place.run(sys.executable, "-m", "cli.app", "demo", "--scale", "small", timeout=600)
    summary = place.clone / "build" / "demo" / "summary.json"
    return json.loads(summary.read_text(encoding="utf-8"))

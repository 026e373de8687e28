"""Runs that can be resumed: the notes of each seed and policy as JSON below build/year/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy.engine import make_url

from benchmarks.harness import progress
from benchmarks.year.loop import Place, Setting, Year, play
from benchmarks.year.policies import POLICIES
from benchmarks.year.vectors import Vectors
from core.database import connect, create_database, migrate
from core.embedded import hold_server
from core.files import write_json
from core.params import ClassifierParams
from core.settings import REPOSITORY

RUNS = REPOSITORY / "build" / "year"
_CODE = ("core", "pipelines", "monitoring", "benchmarks/year")
_NOT_PLAYED = ("report.py", "figures.py", "bars.py", "picture.py", "__main__.py", "runs.py")


@dataclass(frozen=True)
class Plan:
    """What is simulated, and with which parameters."""

    setting: Setting
    block: ClassifierParams

    @property
    def key(self) -> str:
        """Names code, parameters and setting: notes of another key are not reused."""
        digest = hashlib.sha256(code_digest().encode())
        digest.update(json.dumps(asdict(self.setting), sort_keys=True).encode())
        digest.update(self.block.model_dump_json().encode())
        return digest.hexdigest()[:12]


def code_digest() -> str:
    """Name the code that a run depends on."""
    digest = hashlib.sha256()
    for room in _CODE:
        for path in sorted((REPOSITORY / room).rglob("*.py")):
            if path.name not in _NOT_PLAYED:
                digest.update(path.relative_to(REPOSITORY).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def run_all(
    plan: Plan,
    *,
    seeds: Sequence[int],
    policies: Sequence[str],
    vectors: Vectors,
    folder: Path = RUNS,
) -> dict[str, dict[int, dict[str, Any]]]:
    """Return policy -> seed -> notes; what was played before is read."""
    notes: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in policies}
    place = folder / plan.key
    for seed in seeds:
        missing = [name for name in policies if not _file(place, name, seed).exists()]
        if missing:
            _play_seed(plan, seed, missing, vectors, place)
        for name in policies:
            notes[name][seed] = json.loads(_file(place, name, seed).read_text(encoding="utf-8"))
    return notes


def _file(place: Path, policy: str, seed: int) -> Path:
    return place / f"{policy}-{seed}.json"


def _play_seed(
    plan: Plan, seed: int, policies: Sequence[str], vectors: Vectors, place: Path
) -> None:
    progress(f"seed {seed}: the year is drawn")
    year = Year.draw(plan.setting, seed=seed)
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="year-") as folder:
        for name in policies:
            progress(f"seed {seed}: {name}")
            with open_place(Path(folder), f"{name}_{seed}", vectors, plan.block) as room:
                notes = play(year, POLICIES[name], room)
            write_json(_file(place, name, seed), notes)
            vectors.save()


@contextmanager
def open_place(
    folder: Path, name: str, vectors: Vectors, block: ClassifierParams
) -> Iterator[Place]:
    """Yield a place with a database of its own on an embedded PostgreSQL."""
    with hold_server(folder / "postgres") as url:
        create_database(url, name)
        own = make_url(url).set(database=name).render_as_string(hide_password=False)
        migrate(own)
        engine = connect(own)
        try:
            yield Place(engine, folder / name, vectors, block)
        finally:
            engine.dispose()

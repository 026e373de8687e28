"""Runs that can be resumed: the notes of each seed and policy as JSON in one folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy.engine import make_url

from core.database import connect, create_database, migrate
from core.embedded import hold_server
from core.files import write_json
from core.settings import REPOSITORY
from operations.simulation.loop import Place, Year, play
from operations.simulation.policies import POLICIES
from operations.simulation.production import Machinery

CODE = ("core", "pipelines", "monitoring", "operations/simulation")
_NOT_PLAYED = frozenset(
    {
        "operations/simulation/figures.py",
        "operations/simulation/picture.py",
        "operations/simulation/runs.py",
        "benchmarks/year/__main__.py",
        "benchmarks/year/bars.py",
        "benchmarks/year/report.py",
    }
)
"""What reads notes and makes none."""
_REPORTED = 10
"""Reports of progress per run."""


def code_digest(rooms: Sequence[str] = CODE) -> str:
    """Name the code that a run depends on."""
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((REPOSITORY / room).rglob("*.py")):
            name = path.relative_to(REPOSITORY).as_posix()
            if name not in _NOT_PLAYED:
                digest.update(name.encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of one setting.

    Attributes
    ----------
    draw : from a seed to its year; called only when a run of the seed is missing
    folder : where notes are kept; it belongs to this setting and this code alone
    report : gets sentences of progress
    """

    draw: Callable[[int], Year]
    machinery: Machinery
    folder: Path
    report: Callable[[str], None]

    def play(
        self, *, seeds: Sequence[int], policies: Sequence[str]
    ) -> dict[str, dict[int, dict[str, Any]]]:
        """Return policy -> seed -> notes; what was played before is read."""
        for seed in seeds:
            missing = [name for name in policies if not self._file(name, seed).exists()]
            if missing:
                self._play_seed(seed, missing)
        return {
            name: {seed: json.loads(self._file(name, seed).read_text("utf-8")) for seed in seeds}
            for name in policies
        }

    def _file(self, policy: str, seed: int) -> Path:
        return self.folder / f"{policy}-{seed}.json"

    def _play_seed(self, seed: int, policies: Sequence[str]) -> None:
        self.report(f"seed {seed}: the days are drawn")
        year = self.draw(seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="year-") as folder:
            for name in policies:
                days = partial(self._report_day, f"seed {seed}: {name}", len(year.arrivals))
                with open_place(Path(folder), f"{name}_{seed}", self.machinery) as place:
                    notes = play(year, POLICIES[name], place, report=days)
                write_json(self._file(name, seed), notes)
                self.machinery.vectors.save()

    def _report_day(self, run: str, days: int, day: int) -> None:
        if day % max(1, days // _REPORTED) == 0:
            self.report(f"{run}, day {day} of {days}")


@contextmanager
def open_place(folder: Path, name: str, machinery: Machinery) -> Iterator[Place]:
    """Yield a place with a database of its own on an embedded PostgreSQL."""
    with hold_server(folder / "postgres") as url:
        create_database(url, name)
        own = make_url(url).set(database=name).render_as_string(hide_password=False)
        migrate(own)
        engine = connect(own)
        try:
            yield Place(engine, folder / name, machinery)
        finally:
            engine.dispose()

"""Gives a benchmark a clone of the committed code, a home, and the demo source in PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from core.settings import REPOSITORY, Settings, load_settings
from flows.context import LoopContext, open_context
from flows.snapshot import build_demo
from pipelines.source.practice import Scale

AUTHOR = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")


@dataclass(frozen=True)
class Place:
    """Where a benchmark's commands run."""

    loop: LoopContext
    folder: Path

    @property
    def settings(self) -> Settings:
        return self.loop.settings

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that put this interpreter and the clone's code first and set the home."""
        repository = str(self.settings.repository)
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": repository,
            "PERENNIAL_REPOSITORY": repository,
            "PERENNIAL_HOME": str(self.settings.home),
            "PERENNIAL_LOG_FORMAT": "json",
            "DVC_NO_ANALYTICS": "1",
        }

    def commit(self, message: str) -> None:
        """Commit every change in the clone."""
        subprocess.run(
            ["git", *AUTHOR, "commit", "--quiet", "--all", "-m", message],
            cwd=self.settings.repository,
            check=True,
        )


@contextmanager
def open_place(*, scale: Scale, params: str = "params.yaml") -> Iterator[Place]:
    """Yield a place with a demo source of `scale`; it is removed at the end.

    `params` is the file of the repository that becomes its params.yaml.
    """
    with TemporaryDirectory(prefix="bench-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
        text = (clone / params).read_text(encoding="utf-8")
        (clone / "params.yaml").write_text(text, encoding="utf-8")
        settings = load_settings(
            repository=clone, home=Path(folder) / "home", database_url=None, source_url=None
        )
        with open_context(settings) as loop:
            build_demo(loop, scale=scale)
            place = Place(loop, Path(folder))
            if params != "params.yaml":
                place.commit(f"Take {params}")
            yield place

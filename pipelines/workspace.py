"""A temporary clone in which one retraining runs.

It has committed code only, shares the repository's DVC cache, and leaves the user's files alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from core.errors import StageFailed
from core.files import create_locked
from core.logs import get_logger
from core.params.lines import expand_lines
from pipelines.dvc_cache import refuse, set_aside, tracked, verify
from pipelines.dvc_repository import (
    DVC,
    OWNERS,
    cache_of,
    check_out,
    dvc_environment,
    prune_data,
    run_dvc,
    track_data,
)
from pipelines.git_repository import AUTHOR, git_succeeds, run_git
from pipelines.subprocesses import end_those_within, run_program

PREFIX = "perennial-run-"
OWNER = "owner"
CLONE = ("clone", "--quiet", "--no-checkout", "--origin", "origin", "--template=")
TRIAL = "refs/perennial/trial"
"""What a retraining pushes and removes, to see that it can publish."""
REPRODUCING = "pipelines/reproducing.py"
ALL_CORES = (sys.executable, "-m", "pipelines.reproducing")
STAGE_SECONDS = 6 * 3600.0


@dataclass(frozen=True)
class Workspace:
    """A clone of the repository at one commit, with the repository's DVC cache.

    Attributes
    ----------
    seconds : float
        The longest that one call of DVC may take.
    sound : set of str
        Names of cache files that were verified; each is read once per run.
    """

    folder: Path
    commit: str
    cache: Path
    seconds: float = STAGE_SECONDS
    sound: set[str] = field(default_factory=set)

    def reproduce(self, targets: Sequence[str], *, keep_going: bool = False) -> None:
        """Run `dvc repro` on the targets; with `keep_going`, also after the failure of a stage.

        Several targets run on all cores (`pipelines/reproducing.py`), where the commit of the clone
        has that program. Raises `StageFailed` with the last lines of the stage, or naming a corrupt
        cache file that DVC used.
        """
        has_program = (self.folder / REPRODUCING).exists()
        program = ALL_CORES if len(targets) > 1 and has_program else (*DVC, "repro")
        try:
            self._run(*program, *(["--keep-going"] if keep_going else []), *targets)
        except StageFailed:
            self._refuse_corrupt()
            raise
        self._refuse_corrupt()

    def compute_again(self, targets: Sequence[str]) -> None:
        """Run every stage up to the targets without any cache; the shared cache stays as it is."""
        self._run(*DVC, "repro", "--force", "--no-commit", *targets)

    def _run(self, *command: str) -> None:
        """Run a long command; each of its lines becomes a log line at once."""
        run_program(
            command,
            folder=self.folder,
            environment=dvc_environment(self.folder),
            seconds=self.seconds,
            on_line=log_line,
        )

    def track_data(self) -> None:
        """Run `dvc add data`: the snapshot becomes a version."""
        self.sound.update(track_data(self.folder, cache=self.cache))

    def restore(self, tag: str, paths: Sequence[str]) -> bool:
        """Start from the lock file of an earlier run and bring back its outputs from the cache.

        Returns True when the tag is known and every path came back sound.
        """
        known = bool(tag) and git_succeeds(["cat-file", "-e", f"{tag}:dvc.lock"], self.folder)
        if known:
            run_git(["checkout", "--quiet", tag, "--", *OWNERS], self.folder)
        self.set_corrupt_aside()
        return known and all([self._bring_back(path) for path in paths])

    def set_corrupt_aside(self, owners: Sequence[str] = OWNERS) -> list[str]:
        """Verify the cache files that data.dvc and dvc.lock name, and remove the corrupt ones.

        Returns their names; the files lie in a folder of the cache where DVC does not look.
        """
        names: list[str] = []
        for owner in owners:
            file = self.folder / owner
            if file.exists():
                names += tracked(file.read_text(encoding="utf-8")).values()

        verdicts = verify(self.cache, names, known=self.sound)
        self.sound.update(name for name, is_sound in verdicts.items() if is_sound)
        return set_aside(self.cache, verdicts)

    def _refuse_corrupt(self) -> None:
        if corrupt := self.set_corrupt_aside():
            raise refuse(self.cache, corrupt)

    def _bring_back(self, path: str) -> bool:
        """Check one output out, or leave nothing of it: a part would pass for the whole."""
        is_whole = self.check_out(path)
        if not is_whole:
            shutil.rmtree(self.folder / path, ignore_errors=True)
        return is_whole

    def check_out(self, path: str) -> bool:
        """Bring one output back from the cache; return False when the cache does not have it."""
        return check_out(path, self.folder)

    def narrow(self, classifiers: Sequence[str], datasets: Sequence[str]) -> None:
        """Keep only what this run retrains: remove other blocks and other data sets.

        The published commit is then whole: nothing in its pipeline is out of date.
        """
        blocks = self._blocks()
        self._keep_blocks({name: blocks[name] for name in blocks if name in classifiers})
        prune_data(self.folder / "data", datasets)

    def fix_history(self, classifier: str, days: int) -> None:
        """Write the number that stands for `history_days: auto` in this run."""
        blocks = self._blocks()
        self._keep_blocks({**blocks, classifier: {**blocks[classifier], "history_days": days}})

    def _blocks(self) -> dict[str, Any]:
        """Return the classifiers of params.yaml as the file has them, with a block per line."""
        text = (self.folder / "params.yaml").read_text(encoding="utf-8")
        return expand_lines(yaml.safe_load(text)["classifiers"])

    def _keep_blocks(self, blocks: dict[str, Any]) -> None:
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        if blocks != params["classifiers"]:
            text = yaml.safe_dump(
                {**params, "classifiers": blocks}, sort_keys=False, allow_unicode=True
            )
            path.write_text(text, encoding="utf-8")

    def change_params(self, edit: Callable[[str], str], *, message: str) -> str:
        """Commit an edit of the params.yaml of HEAD, alone; return the commit.

        The narrowed file of the workspace is edited too, and stays uncommitted until `publish`: the
        commit holds nothing but the change, and can be taken over by `git cherry-pick`. After an
        error the narrowed file is as it was.
        """
        path = self.folder / "params.yaml"
        narrowed = path.read_text(encoding="utf-8")
        edited = edit(narrowed)
        whole = run_git(["show", "HEAD:params.yaml"], self.folder, strip=False)
        path.write_text(edit(whole), encoding="utf-8")
        try:
            run_git(
                [*AUTHOR, "commit", "--quiet", "--only", "-m", message, "--", "params.yaml"],
                self.folder,
            )
        except StageFailed:
            path.write_text(narrowed, encoding="utf-8")
            raise
        path.write_text(edited, encoding="utf-8")
        return run_git(["rev-parse", "HEAD"], self.folder)

    def try_publishing(self) -> None:
        """Commit, tag and push as `publish` will, and leave nothing.

        Raises `StageFailed` before a training instead of after it.
        """
        tag = self.folder.parent.name
        run_git([*AUTHOR, "tag", "-a", tag, "-m", "a trial"], self.folder)
        trial = f"{TRIAL}/{tag}"
        run_git(["push", "--quiet", "origin", f"{tag}:{trial}"], self.folder)
        run_git(["push", "--quiet", "origin", f":{trial}"], self.folder)
        run_git(["tag", "--delete", tag], self.folder)

    def publish(self, *, message: str, tag: str, branches: Sequence[str]) -> str:
        """Commit data.dvc, dvc.lock and the narrowed params, tag the commit and push both.

        Returns the commit. A second call for the same tag only pushes.
        """
        if not git_succeeds(["rev-parse", "--verify", "--quiet", f"refs/tags/{tag}"], self.folder):
            run_git(["add", "--force", "data.dvc", "dvc.lock", "params.yaml"], self.folder)
            run_git([*AUTHOR, "commit", "--quiet", "--allow-empty", "-m", message], self.folder)
            run_git([*AUTHOR, "tag", "-a", tag, "-m", message], self.folder)
        heads = [f"HEAD:refs/heads/{branch}" for branch in branches]
        run_git(["push", "--quiet", "--atomic", "origin", *heads, f"refs/tags/{tag}"], self.folder)
        return run_git(["rev-parse", "HEAD"], self.folder)

    def push_branch(self, branch: str) -> None:
        """Push the present commit as a branch of the repository."""
        run_git(["push", "--quiet", "origin", f"HEAD:refs/heads/{branch}"], self.folder)


@contextmanager
def open_workspace(
    repository: Path, *, revision: str = "HEAD", seconds: float = STAGE_SECONDS
) -> Iterator[Workspace]:
    """Clone `repository` at `revision` into a temporary folder, and remove that at the end.

    First removes the clones of killed runs, and ends the programs that still work in them.
    """
    remove_abandoned(Path(tempfile.gettempdir()))
    with _owned_folder() as folder:
        clone = folder / "clone"
        commit = run_git(["rev-parse", revision], repository)
        run_git([*CLONE, str(repository), str(clone)], folder)
        run_git(["checkout", "--quiet", "--detach", commit], clone)
        cache = cache_of(repository)
        _link_cache(clone, cache)
        yield Workspace(clone, run_git(["rev-parse", "HEAD"], clone), cache, seconds)


def _link_cache(clone: Path, cache: Path) -> None:
    """Let the clone use a DVC cache by a link beside it: DVC writes paths in ASCII only."""
    cache.mkdir(parents=True, exist_ok=True)
    link = clone.parent / "cache"
    link.symlink_to(cache, target_is_directory=True)
    run_dvc(["cache", "dir", "--quiet", "--local", os.path.relpath(link, clone)], clone)


@contextmanager
def _owned_folder() -> Iterator[Path]:
    """Yield a temporary folder whose `owner` file is locked as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with os.fdopen(create_locked(folder / OWNER), "w"):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(temporary: Path) -> list[Path]:
    """Remove the clones of killed runs and end the programs that work in them.

    Returns the folders that were removed.
    """
    abandoned = [folder for folder in temporary.glob(f"{PREFIX}*") if _is_abandoned(folder)]
    for folder in abandoned:
        get_logger().warning(
            "workspace", state="removing the clone of a killed run", folder=str(folder)
        )
        end_those_within(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return abandoned


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / OWNER).open("r+") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, not named yet, or another user's
        return False
    return True


def log_line(line: str) -> None:
    """Pass a stage's log lines on with their fields, and DVC's as text."""
    try:
        fields = json.loads(line)
        event = fields.pop("event")
        own_fields = {name: fields[name] for name in fields.keys() - {"level", "timestamp"}}
        get_logger().info(event, **own_fields)
    except (ValueError, KeyError, AttributeError, TypeError):
        get_logger().info("stage output", line=line)

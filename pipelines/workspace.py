"""A temporary clone in which one retraining runs: committed code, shared DVC cache, nothing of the user's tree touched."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from core.errors import NotReproducible, StageFailed, UncommittedChanges
from core.logs import get_logger
from pipelines.dvc_cache import name_within, object_file, refuse, set_aside, tracked, verify
from pipelines.subprocesses import end_those_within, failed, run_program

WATCHED = (
    "params.yaml",
    "dvc.yaml",
    "queries",
    "core",
    "pipelines",
    "bentos",
    "monitoring",
    "flows",
)
AUTHOR = (
    "-c",
    "user.name=perennial",
    "-c",
    "user.email=perennial@localhost",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "tag.gpgsign=false",
)
PREFIX, OWNER = "perennial-run-", "owner"
OWNERS = ("dvc.lock", "data.dvc")
"""The files that name what DVC holds of a checkout."""
STAGE_SECONDS = 6 * 3600.0


@dataclass(frozen=True)
class Workspace:
    """A clone of the repository at one commit, with the repository's DVC cache; no program in it may take longer than `seconds`.

    `sound` are the names of cache files that were read and found sound: once a run.
    """

    folder: Path
    commit: str
    cache: Path
    seconds: float = STAGE_SECONDS
    sound: set[str] = field(default_factory=set)

    def reproduce(self, targets: Sequence[str]) -> None:
        """`dvc repro` of the targets; raises `StageFailed` with what the stage said, or naming a rotten file that DVC took."""
        try:
            self._call_dvc("repro", *targets)
        except StageFailed:
            self._refuse_rotten()
            raise
        self._refuse_rotten()

    def compute_again(self, targets: Sequence[str]) -> None:
        """Run every stage up to the targets, whatever any cache holds; nothing enters the shared cache."""
        self._call_dvc("repro", "--force", "--no-commit", *targets)

    def _call_dvc(self, *arguments: str) -> None:
        """A long call, each of its lines a log line as it comes."""
        command = [*_dvc(), *arguments]
        run_program(
            command,
            folder=self.folder,
            environment=dvc_environment(self.folder),
            seconds=self.seconds,
            on_line=_log_line,
        )

    def track_data(self) -> None:
        """`dvc add data`: the snapshot becomes a version."""
        self.sound.update(track_data(self.folder, cache=self.cache))

    def restore(self, tag: str, paths: Sequence[str]) -> bool:
        """Start from the lock of an earlier run, and bring back what of its outputs the cache still has, and has unharmed."""
        known = bool(tag) and _git_succeeds(["cat-file", "-e", f"{tag}:dvc.lock"], self.folder)
        if known:
            _git(["checkout", "--quiet", tag, "--", *OWNERS], self.folder)
        self.set_rotten_aside()
        return known and all([self._bring_back(path) for path in paths])

    def set_rotten_aside(self, owners: Sequence[str] = OWNERS) -> list[str]:
        """Read what the cache holds of data.dvc and dvc.lock; return the names of rotten files, which it then holds no longer."""
        texts = [
            file.read_text(encoding="utf-8")
            for owner in owners
            if (file := self.folder / owner).exists()
        ]
        verdicts = verify(
            self.cache,
            [name for text in texts for name in tracked(text).values()],
            known=self.sound,
        )
        self.sound.update(name for name, sound in verdicts.items() if sound)
        return set_aside(self.cache, verdicts)

    def _refuse_rotten(self) -> None:
        if rotten := self.set_rotten_aside():
            raise refuse(self.cache, rotten)

    def _bring_back(self, path: str) -> bool:
        """Check one output out, or leave nothing of it: a part would be taken for the whole."""
        whole = self.check_out(path)
        if not whole:
            shutil.rmtree(self.folder / path, ignore_errors=True)
        return whole

    def narrow(self, classifiers: Sequence[str], datasets: Sequence[str]) -> None:
        """Keep only what this run retrains: other blocks leave params.yaml, other data sets leave data/.

        So the published commit is whole: nothing in its pipeline is out of date.
        """
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        kept = {name: block for name, block in params["classifiers"].items() if name in classifiers}
        if kept != params["classifiers"]:
            path.write_text(
                yaml.safe_dump(
                    {**params, "classifiers": kept}, sort_keys=False, allow_unicode=True
                ),
                encoding="utf-8",
            )
        prune_data(self.folder / "data", datasets)

    def check_out(self, path: str) -> bool:
        """Bring one output back from the shared cache; False when the cache does not hold it."""
        command, environment = [*_dvc(), "checkout", "--quiet", path], dvc_environment(self.folder)
        return (
            subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True
            ).returncode
            == 0
        )

    def publish(self, *, message: str, tag: str, branches: Sequence[str]) -> str:
        """Commit `data.dvc`, `dvc.lock` and the narrowed params, tag the commit, push both to the repository; return the commit.

        A second call for the same tag only pushes.
        """
        if not _git_succeeds(["rev-parse", "--verify", "--quiet", f"refs/tags/{tag}"], self.folder):
            _git(["add", "--force", "data.dvc", "dvc.lock", "params.yaml"], self.folder)
            _git([*AUTHOR, "commit", "--quiet", "--allow-empty", "-m", message], self.folder)
            _git([*AUTHOR, "tag", "-a", tag, "-m", message], self.folder)
        heads = [f"HEAD:refs/heads/{branch}" for branch in branches]
        _git(["push", "--quiet", "--atomic", "origin", *heads, f"refs/tags/{tag}"], self.folder)
        return _git(["rev-parse", "HEAD"], self.folder)


def prune_data(data: Path, datasets: Sequence[str]) -> None:
    """Remove the folders that earlier runs left of other data sets; a file beside them is not of our making."""
    for folder in data.iterdir() if data.is_dir() else ():
        if folder.is_dir() and folder.name not in datasets:
            shutil.rmtree(folder)


def track_data(folder: Path, *, cache: Path) -> set[str]:
    """Put data/ of a checkout into its DVC cache and describe it in data.dvc; return the names in the cache.

    Raises `StageFailed` when the cache had a rotten file under the name of one of them: DVC keeps that one.
    """
    _run_dvc(["add", "--quiet", "data"], folder)
    verdicts = verify(cache, tracked((folder / "data.dvc").read_text(encoding="utf-8")).values())
    if rotten := set_aside(cache, verdicts):
        raise refuse(cache, rotten)
    return set(verdicts)


@contextmanager
def open_workspace(
    repository: Path, *, revision: str = "HEAD", seconds: float = STAGE_SECONDS
) -> Iterator[Workspace]:
    """Clone `repository` at `revision` into a temporary folder that shares its DVC cache; removed at the end.

    What killed runs left behind is removed first, with the programs that still work in it.
    """
    remove_abandoned(Path(tempfile.gettempdir()))
    with _owned_folder() as folder:
        clone = folder / "clone"
        _git(["clone", "--quiet", "--no-checkout", str(repository), str(clone)], folder)
        _git(["checkout", "--quiet", "--detach", _git(["rev-parse", revision], repository)], clone)
        cache = cache_of(repository)
        _run_dvc(["cache", "dir", "--quiet", "--local", str(cache)], clone)
        yield Workspace(clone, _git(["rev-parse", "HEAD"], clone), cache, seconds)


def cache_of(repository: Path) -> Path:
    """The folder of the repository's DVC cache: the user's own configuration may have moved it."""
    return Path(_run_dvc(["cache", "dir"], repository).splitlines()[-1])


@contextmanager
def _owned_folder() -> Iterator[Path]:
    """A temporary folder whose `owner` file is locked as long as this process lives; it gets that name only when it is locked."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with (folder / f"{OWNER}.new").open("w") as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX)
            (folder / f"{OWNER}.new").rename(folder / OWNER)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(temporary: Path) -> list[Path]:
    """Remove the clones whose owner died, and end what still works in them; return their folders."""
    abandoned = [folder for folder in temporary.glob(f"{PREFIX}*") if _is_abandoned(folder)]
    for folder in abandoned:
        get_logger().warning(
            "workspace", state="removing what a killed run left", folder=str(folder)
        )
        end_those_within(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return abandoned


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / OWNER).open("r+") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, not named yet, or another user's
        return False
    return True


def commit_of(repository: Path, revision: str) -> str:
    """The commit that a tag or branch names, "" when the repository has no such thing."""
    asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    return _git(asked, repository) if _git_succeeds(asked, repository) else ""


def file_at(repository: Path, revision: str, path: str) -> str | None:
    """Text of a committed file; None when that commit has none, or there is no such commit."""
    asked = [
        "show",
        "--end-of-options",
        f"{revision}:{path}",
    ]  # without a revision git would show what is staged
    return (
        _git(asked, repository, strip=False)
        if revision and _git_succeeds(asked, repository)
        else None
    )


def commit_facts(repository: Path, commit: str) -> dict[str, str]:
    """{committed_at, parent, subject}; empty when the repository has no such commit."""
    if not commit_of(repository, commit):
        return {}
    told = _git(
        ["show", "--no-patch", "--format=%cI%n%P%n%s", "--end-of-options", commit], repository
    ).splitlines()
    return dict(zip(("committed_at", "parent", "subject"), told, strict=True))


def tracked_rows(repository: Path, revision: str, path: str, *, key: str) -> list[dict[str, Any]]:
    """Rows of a DVC-tracked Parquet file, as it was at a revision, whose `id` is `key`; read from the cache alone.

    Raises `NotReproducible` when the revision or the cache lacks the file, or the cache holds another content.
    """
    import pyarrow.parquet as pq

    cache, owners = (
        cache_of(repository),
        [file_at(repository, revision, owner) or "" for owner in OWNERS],
    )
    known = {place: name for text in owners for place, name in tracked(text).items()}
    name = name_within(cache, known, Path(path))
    if not name or not verify(cache, [name]).get(name):
        do = "bring it back with `dvc pull`, or from a copy of the cache"
        raise NotReproducible(
            f"{path} of {revision} in the DVC cache",
            came=f"no file, or a rotten one: {name or 'not tracked'}",
            do=do,
        )
    return pq.read_table(object_file(cache, name), filters=[("id", "==", key)]).to_pylist()


def require_committed(repository: Path) -> None:
    """Raise `UncommittedChanges` naming the files when code, queries or params.yaml differ from HEAD."""
    if not _git_succeeds(["rev-parse", "--verify", "HEAD"], repository):
        raise UncommittedChanges(
            "a git repository with a commit",
            came=str(repository),
            do="clone Perennial with git, or commit once",
        )
    changed = _git(["status", "--porcelain", "--untracked-files=all", "--", *WATCHED], repository)
    if changed:
        files = ", ".join(line[2:].strip() for line in changed.splitlines()[:10])
        raise UncommittedChanges(
            "everything that shapes a model committed",
            came=f"changes in {files}",
            do="commit them, then retrain",
        )


def stage_environment() -> dict[str, str]:
    """The environment of DVC and its stages: this interpreter first on the path, no code but the clone's own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in {"PYTHONPATH", "DVC_ROOT"} and not key.startswith("GIT_")
    }
    return {**kept, "PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONHASHSEED": "0"}


def dvc_environment(folder: Path) -> dict[str, str]:
    """The same, with DVC's state of a checkout inside it, for its owner alone: DVC keeps pickles there, by default where all may write."""
    state = folder / ".dvc" / "tmp" / "site"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.chmod(0o700)
    return {**stage_environment(), "DVC_SITE_CACHE_DIR": str(state)}


def _dvc() -> list[str]:
    return [sys.executable, "-m", "dvc"]


def _git(arguments: Sequence[str], folder: Path, *, strip: bool = True) -> str:
    told = _run(["git", *arguments], folder)
    return told.strip() if strip else told


def _git_succeeds(arguments: Sequence[str], folder: Path) -> bool:
    return (
        subprocess.run(
            ["git", *arguments], cwd=folder, env=stage_environment(), capture_output=True
        ).returncode
        == 0
    )


def _run_dvc(arguments: Sequence[str], folder: Path) -> str:
    return _run([*_dvc(), *arguments], folder, environment=dvc_environment(folder))


def _run(
    command: Sequence[str], folder: Path, *, environment: Mapping[str, str] | None = None
) -> str:
    """Run a short command; return what it says on standard output."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment or stage_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise failed(command, (done.stderr or done.stdout).splitlines())
    return done.stdout


def _log_line(line: str) -> None:
    """Pass a stage's own log lines on as what they are, and DVC's as lines."""
    try:
        fields = json.loads(line)
        get_logger().info(
            fields.pop("event"),
            **{key: fields[key] for key in fields.keys() - {"level", "timestamp"}},
        )
    except (ValueError, KeyError, AttributeError, TypeError):
        get_logger().info("stage output", line=line)

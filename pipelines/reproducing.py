"""`python -m pipelines.reproducing TARGET...`: `dvc repro` for many classifiers on all cores.

It runs the same commands on the same files, so the same dvc.lock comes out; `dvc repro` by hand
stays. Most of the time of 21 classifiers goes into a Python that imports its packages for each
stage, into waiting for one core, and into a dvc.lock that is read and written after each stage.
Here stages are forks of one process that has imported them. Those that do not depend on each other
run at once, and dvc.lock is written at the end.

DVC documents no call for that. What is used of it is what its own `repro` calls, and the version of
DVC is pinned.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import psutil

from pipelines.__main__ import PER_CLASSIFIER, pin_arithmetic
from pipelines.__main__ import main as run_pipeline_stage

STAGE = ["python", "-m", "pipelines"]
PRELOADED = [f"pipelines.stages.{name}" for name in PER_CLASSIFIER]
DRAWING = ["matplotlib.backends.backend_agg", "matplotlib.figure"]
"""The stages import these when they draw."""
STAGE_MB = 1000
"""Memory of one stage, rounded up. Peaks of `python -m pipelines STAGE block` on the demo, 173,000
rows: split 330 MB, evaluate 480, suspects 634, train 670, errors 789 (`resource.getrusage`)."""


def main(arguments: list[str] | None = None) -> int:
    """Reproduce the targets; return 0, or 1 when a stage failed."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.reproducing",
        description="Run the stages up to the targets, as `dvc repro` does, on all cores.",
    )
    parser.add_argument("targets", nargs="+")
    parser.add_argument(
        "--keep-going", action="store_true", help="run what does not depend on a failed stage"
    )
    call = parser.parse_args(arguments)
    pin_arithmetic()  # the stages are forks: they inherit it
    with _pool() as pool:
        return reproduce(call.targets, pool, keep_going=call.keep_going)


def reproduce(targets: Sequence[str], pool: ProcessPoolExecutor, *, keep_going: bool) -> int:
    """Run what is out of date; return 0, or 1 when a stage failed."""
    from dvc.repo import Repo, lock_repo
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    with Repo() as repo, lock_repo(repo), repo.scm_context():
        graph = get_active_graph(repo.index.graph)
        stages = plan_repro(graph, collect_stages(repo, targets))
        upstream = {stage: list(graph.successors(stage)) for stage in stages}
        run = Reproduction(repo, stages, upstream, pool, keep_going=keep_going)
        try:
            run.run()
        finally:  # what ended is kept, whatever happened to the others
            if run.made:
                made = [stage for stage in stages if stage in run.made]
                made[0].dvcfile.dump_stages(made, update_pipeline=False)
        for stage in run.failed:
            print(f"failed to reproduce '{stage.addressing}'", file=sys.stderr, flush=True)
        return int(bool(run.failed))


class Reproduction:
    """Stages in the order of DVC's plan, each begun when those that it depends on have ended.

    Parameters
    ----------
    upstream : stage -> the stages that it depends on
    """

    def __init__(
        self,
        repo: Any,
        stages: Sequence[Any],
        upstream: dict[Any, list[Any]],
        pool: ProcessPoolExecutor,
        *,
        keep_going: bool,
    ) -> None:
        self.repo = repo
        self.waiting = list(stages)
        self.upstream = upstream
        self.pool = pool
        self.keep_going = keep_going
        self.running: dict[Future[int], Any] = {}
        self.ended: set[Any] = set()
        self.made: set[Any] = set()
        self.failed: list[Any] = []

    def run(self) -> None:
        """Run until nothing is left that can be begun."""
        while self._begin_ready() or self.running:
            if self.running:
                done, _ = wait(self.running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._end(self.running.pop(future), future)

    def _begin_ready(self) -> bool:
        """Begin every stage that waits for none; return whether one ended without a command."""
        if self.failed and not self.keep_going:
            return False
        ready = [stage for stage in self.waiting if self.ended.issuperset(self.upstream[stage])]
        self.waiting = [stage for stage in self.waiting if stage not in ready]
        began = len(self.ended)
        for stage in ready:
            with self._failing(stage):
                self._begin(stage)
        return len(self.ended) > began

    def _begin(self, stage: Any) -> None:
        from dvc.stage.cache import RunCacheNotFoundError

        if not stage.changed(False, self.upstream[stage]):
            print(f"Stage '{stage.addressing}' didn't change, skipping", flush=True)
            self.ended.add(stage)
            return
        if not is_own(stage.cmd):
            self._leave_to_dvc(stage)
            return
        stage.remove_outs(ignore_remove=False, force=False)
        try:
            self.repo.stage_cache.restore(stage)
        except RunCacheNotFoundError:
            print(f"Running stage '{stage.addressing}':\n> {stage.cmd}", flush=True)
            self._submit(stage)
        else:
            self._save(stage)

    def _submit(self, stage: Any) -> None:
        try:
            self.running[self.pool.submit(run_command, stage.cmd)] = stage
        except BrokenProcessPool:  # a stage was killed meanwhile
            self.failed.append(stage)
            self.keep_going = False

    def _leave_to_dvc(self, stage: Any) -> None:
        """Reproduce a stage that is not a command of this repository: a data source, a program."""
        from dvc.repo.reproduce import _reproduce_stage

        _reproduce_stage(stage, upstream=self.upstream[stage])
        self.ended.add(stage)

    def _end(self, stage: Any, future: Future[int]) -> None:
        error = future.exception()
        if error is None and future.result() == 0:
            with self._failing(stage):
                self._save(stage)
            return
        self.failed.append(stage)
        if error is not None:
            traceback.print_exception(error)
            sys.stderr.flush()
        if isinstance(error, BrokenProcessPool):  # a stage was killed, and its pool with it
            self.keep_going = False

    @contextmanager
    def _failing(self, stage: Any) -> Iterator[None]:
        """Let an error of DVC or of the disk fail this stage alone."""
        from dvc.exceptions import DvcException

        try:
            yield
        except (DvcException, OSError) as error:
            print(f"{stage.addressing}: {error}", file=sys.stderr, flush=True)
            self.failed.append(stage)

    def _save(self, stage: Any) -> None:
        """Hash what the stage read and wrote, and put its outputs into the cache."""
        tracked = all(out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
        stage.save(run_cache=tracked)
        stage.commit()
        self.made.add(stage)
        self.ended.add(stage)


def is_own(command: object) -> bool:
    """Return whether the command runs a stage of this repository."""
    return isinstance(command, str) and shlex.split(command)[:3] == STAGE


def run_command(command: str) -> int:
    """Run the stage of a command without a new Python; return its exit code."""
    return run_pipeline_stage(shlex.split(command)[3:])


def _pool() -> ProcessPoolExecutor:
    """Return processes that run one stage each, forked from one that has imported the stages."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, *DRAWING])
    return ProcessPoolExecutor(stages_at_once(), mp_context=context, max_tasks_per_child=1)


def stages_at_once() -> int:
    """Return how many stages this machine runs at once now."""
    return count_processes(
        cores=len(os.sched_getaffinity(0)), available_mb=psutil.virtual_memory().available >> 20
    )


def count_processes(*, cores: int, available_mb: int) -> int:
    """Return how many stages run at once: one per core, as far as the memory suffices."""
    return max(min(cores, available_mb // STAGE_MB), 1)


if __name__ == "__main__":
    sys.exit(main())

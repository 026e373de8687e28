"""`bentoml serve` with another supervisor (circus). Run as a file, without this repository.

Patches BentoML 1.4.39 (`bentoml._internal.utils.circus.create_standalone_arbiter`) and circus
0.18.3 (`Arbiter._stop_watchers`). Reasons:

- BentoML loads the whole service to learn what to run, and its supervisor keeps it loaded. This
  file runs again in the same process (same id, arguments and environment) with circus alone, which
  needs a fifth of the memory.
- A killed worker is back within a second: the supervisor checks its workers every second, not every
  ten.
- On stop, the supervisor first refuses new connections, then lets the entry services finish, then
  stops the services that they depend on. BentoML stops all at once.
- It is controlled over unix sockets of its own user, not over two TCP ports open to everybody on
  the machine.
- It serves further bentos beside the first: each is another process of the entry service, on the
  next port, with the embedder of the first.

Remove when BentoML has options for the check interval, the order of stopping, the control sockets
and several bentos under one supervisor.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

CHECK_SECONDS = 1.0
ENTRY = "_bento_api_server"
FURTHER = "PERENNIAL_FURTHER_BENTOS"
PLAN = "PERENNIAL_PLAN"  # from this file to itself: what to watch and to listen on, JSON
WATCHER = (
    *("name", "cmd", "args", "numprocesses", "working_dir", "graceful_timeout", "respawn"),
    *("copy_env", "stop_children", "use_sockets", "close_child_stdin"),
)
SOCKET = ("name", "host", "port", "path", "family", "backlog")
Options = dict[str, Any]


def main() -> None:
    """Act as `bentoml` with the arguments of this process, then as its supervisor."""
    if sys.path[0].endswith("vendor_patches"):
        del sys.path[0]  # the folder of this file: its modules are not top-level ones
    plan = os.environ.pop(PLAN, None)
    if plan is not None:
        _supervise(**json.loads(plan))
        return

    # The first to register is the last to run: BentoML has then removed what it removes at its
    # exit.
    atexit.register(_run_again)
    from bentoml._internal.utils import circus
    from bentoml_cli.cli import cli

    circus.create_standalone_arbiter = _Planner  # type: ignore[assignment]  # the patch
    cli()


class _Planner:
    """Replaces BentoML's arbiter and its exit stack: records what to run instead of running it."""

    def __init__(
        self,
        watchers: Sequence[Any],
        *,
        sockets: Sequence[Any],
        threaded: bool = False,
        **options: Any,
    ) -> None:
        self.plan: Options = {
            "watchers": [_watcher_options(watcher) for watcher in watchers],
            "sockets": [{name: getattr(listener, name) for name in SOCKET} for listener in sockets],
            "folders": [],
            "options": options,
        }
        for listener in sockets:
            listener.close()  # nothing is bound yet
        self.exit_stack = self

    def enter_context(self, tracking: Any) -> None:
        """Skip BentoML's usage tracking."""

    def callback(self, remove: Any, folder: str, **_: Any) -> None:
        """Note a folder to remove at the end: that of the unix sockets."""
        self.plan["folders"].append(folder)

    def start(self, cb: Callable[[Any], Any]) -> None:
        """Hand over. `cb` logs where BentoML listens."""
        # From here on Ctrl-C ends this process, not only what is left of BentoML.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.environ[PLAN] = json.dumps(self.plan)
        cb(None)


def _watcher_options(watcher: Any) -> Options:
    options = {name: getattr(watcher, name) for name in WATCHER}
    return {**options, "env": _added(watcher.env)}


def _added(environment: Mapping[str, str]) -> dict[str, str]:
    """What BentoML adds to the environment. The rest, with its secrets, stays out of the plan."""
    return {name: value for name, value in environment.items() if os.environ.get(name) != value}


def _run_again() -> None:
    if PLAN in os.environ:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, __file__, *sys.argv[1:]])


def _supervise(
    *, watchers: list[Options], sockets: list[Options], folders: Iterable[str], options: Options
) -> None:
    """Watch until a signal ends it. Raises what a service raised that cannot be started."""
    logging.basicConfig(
        format="%(asctime)s [%(levelname)s] [] %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
        stream=sys.stdout,
    )
    tags = os.environ.get(FURTHER, "").split()
    further = [
        _further(watchers[-1], sockets[-1], number, tag) for number, tag in enumerate(tags, 2)
    ]
    entries = [watchers[-1], *(watcher for watcher, _ in further)]
    listeners = [*sockets, *(listener for _, listener in further)]

    with ExitStack() as stack:
        control = tempfile.mkdtemp(prefix="perennial-")
        for folder in (*folders, control):
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        arbiter = _make_arbiter(
            watchers[:-1], entries, sockets=listeners, folder=control, options=options
        )
        error = arbiter.start().exception()
        if error:
            raise error


def _make_arbiter(
    dependencies: list[Options],
    entries: list[Options],
    *,
    sockets: list[Options],
    folder: str,
    options: Options,
) -> Any:
    """Return an arbiter that stops the entry services before their dependencies."""
    from circus.arbiter import Arbiter
    from circus.sockets import CircusSocket
    from circus.watcher import Watcher
    from tornado import gen

    entry_watchers = [Watcher(**entry) for entry in entries]
    other_watchers = [Watcher(**dependency) for dependency in dependencies]

    class OrderedArbiter(Arbiter):  # type: ignore[misc]  # circus has no types
        @gen.coroutine
        def _stop_watchers(
            self, close_output_streams: bool = False, watcher_iter_func: Any = None
        ) -> Any:
            for name, listener in self.sockets.items():
                if name.startswith(ENTRY):
                    with suppress(OSError):
                        listener.shutdown(socket.SHUT_RDWR)  # for every process that inherited it
            yield [watcher._stop(close_output_streams) for watcher in entry_watchers]
            for watcher in self.watchers:
                if watcher not in entry_watchers:
                    yield watcher._stop(close_output_streams)

    return OrderedArbiter(
        [*other_watchers, *entry_watchers],
        sockets=[CircusSocket(**listener) for listener in sockets],
        endpoint=f"ipc://{folder}/control",
        pubsub_endpoint=f"ipc://{folder}/events",
        **{**options, "check_delay": CHECK_SECONDS},
    )


def _further(entry: Options, listener: Options, number: int, tag: str) -> tuple[Options, Options]:
    """Return watcher and socket of one more bento: the first's, with its own tag and port."""
    name = f"{ENTRY}_{number}"
    args = list(entry["args"])
    args[2] = tag  # python -m <worker> <bento>
    args[args.index("--fd") + 1] = f"$(circus.sockets.{name})"
    environment = {**entry["env"], "PERENNIAL_BENTO": str(number)}
    watcher = {**entry, "name": f"service_{number}", "args": args, "env": environment}
    return watcher, {**listener, "name": name, "port": listener["port"] + number - 1}


if __name__ == "__main__":
    main()

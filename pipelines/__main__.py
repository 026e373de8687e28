"""`python -m pipelines STAGE [CLASSIFIER]` runs one DVC stage in the current folder."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import import_module

PER_CLASSIFIER = (
    "split",
    "train",
    "evaluate",
    "compare",
    "suspects",
    "errors",
    "bias",
    "windows",
)
STAGES = ("resolve", "embedder", "check", "embed", *PER_CLASSIFIER)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; return 0, or 1 after an error as one line of JSON on standard error."""
    call = _parse(arguments)
    pin_arithmetic()
    from core.errors import PerennialError
    from core.logs import configure_logs, timed
    from pipelines.stage_times import write_times

    configure_logs()
    try:
        if call.key is None:
            with timed(f"stage {call.stage}"):
                import_module(f"pipelines.stages.{call.stage}").run()
        else:
            with timed(f"stage {call.stage}", classifier=call.key):
                import_module(f"pipelines.stages.{call.stage}").run(call.key)
    except PerennialError as error:
        print_error(error)
        return 1
    write_times(call.stage, call.key)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines",
        description="Run one DVC stage in the current folder.",
        epilog="Example: python -m pipelines train block",
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("key", nargs="?", help=f"classifier, for {', '.join(PER_CLASSIFIER)}")
    call = parser.parse_args(arguments)
    if call.stage in PER_CLASSIFIER and call.key is None:
        parser.error(f"{call.stage} takes a classifier")
    if call.stage not in PER_CLASSIFIER and call.key is not None:
        parser.error(f"{call.stage} takes no classifier")
    if call.key is not None and not call.key.isidentifier():  # it becomes the name of a folder
        parser.error(f"{call.key!r} is not the name of a classifier")
    return call


def pin_arithmetic() -> None:
    """Use one thread and one BLAS kernel, so that equal inputs give equal bytes.

    Has an effect only before numpy is imported.
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")


def print_error(error: object) -> None:
    """Print a named error as one line of JSON on standard error."""
    import json

    fields = {name: getattr(error, name) for name in ("code", "wanted", "came", "do", "retryable")}
    print(json.dumps(fields, ensure_ascii=False), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

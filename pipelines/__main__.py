"""`python -m pipelines STAGE [KEY]`: one DVC stage."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import import_module

PER_CLASSIFIER = ("split", "train", "evaluate", "compare")
STAGES = ("resolve", "embedder", "check", "embed", *PER_CLASSIFIER)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; return 0, or 1 after one line of JSON on standard error."""
    asked = _parse(arguments)
    pin_arithmetic()
    from core.errors import PerennialError
    from core.logs import configure_logs, timed

    configure_logs()
    try:
        with timed(f"stage {asked.stage}", **({"classifier": asked.key} if asked.key else {})):
            module = import_module(f"pipelines.stages.{asked.stage}")
            module.run(*([asked.key] if asked.key else []))
    except PerennialError as error:
        _tell(error)
        return 1
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines",
        description="Run one DVC stage in the current folder.",
        epilog="Example: python -m pipelines train block",
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("key", nargs="?", help=f"classifier, for {', '.join(PER_CLASSIFIER)}")
    asked = parser.parse_args(arguments)
    if (asked.stage in PER_CLASSIFIER) != (asked.key is not None):
        parser.error(
            f"{asked.stage} takes {'a classifier' if asked.stage in PER_CLASSIFIER else 'no classifier'}"
        )
    if asked.key is not None and not asked.key.isidentifier():  # it becomes a folder
        parser.error(f"a classifier is wanted, came {asked.key!r}")
    return asked


def pin_arithmetic() -> None:
    """One thread and one BLAS kernel, so that equal inputs give equal bytes; before numpy is imported."""
    for name in THREADS:
        os.environ.setdefault(name, "1")
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")


def _tell(error: object) -> None:
    import json

    fields = {name: getattr(error, name) for name in ("code", "wanted", "came", "do", "retryable")}
    print(json.dumps(fields, ensure_ascii=False), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

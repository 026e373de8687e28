"""`python -m pipelines.tuning try|conclude CLASSIFIER`: one process of a search.

It runs in a checkout whose stages have split and embedded, and reads the address of the database
from the environment: a command line is visible to every user of the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pipelines.__main__ import pin_arithmetic, print_error

DATABASE = "TUNING_DATABASE_URL"


def main(arguments: list[str] | None = None) -> int:
    """Run trials for a number of seconds, or write what a study found."""
    call = _parse(arguments)
    pin_arithmetic()
    from core.errors import PerennialError
    from core.logs import configure_logs
    from pipelines.tuning import process

    configure_logs()
    try:
        with process.open_work(call.key, call.study, url=os.environ[DATABASE]) as work:
            if call.step == "try":
                process.try_settings(work, seconds=call.seconds, trials=call.trials)
            else:
                process.conclude(work, call.to)
    except PerennialError as error:
        print_error(error)
        return 1
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.tuning", description="One process of a search for settings."
    )
    parser.add_argument("step", choices=("try", "conclude"))
    parser.add_argument("key", help="classifier")
    parser.add_argument("--study", required=True)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--trials", type=int, default=None, help="end of the study, in trials")
    parser.add_argument("--to", type=Path, default=None, help="the file that `conclude` writes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""What an explanation costs, how near it is to Shapley values, and what predicts feel of it.

    python -m benchmarks.explain [--quick] [--json]

Needs the demo's `build/` (`make data`, `dvc repro`). Peers: leaving each word out in turn, by whole
predictions; and SHAP, where the package is installed. The error is beside the exact Shapley values
of all 2^n phrases. The second part explains over HTTP, while clients predict new phrases.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from benchmarks.harness import Bar, Result, options, present, table
from pipelines.__main__ import pin_arithmetic

if TYPE_CHECKING:
    from benchmarks.explain_ways import Measured

PACKAGES = ("numpy", "scipy", "ai-edge-litert", "bentoml")


def main() -> None:
    """Measure and print."""
    arguments = options("What an explanation costs and how right it is.").parse_args()
    pin_arithmetic()  # before numpy is imported: one thread, as in the service
    from benchmarks.explain_ways import FULL, QUICK, measure

    scale = QUICK if arguments.quick else FULL
    result = build_result(measure(scale, seed=arguments.seed))
    result.input = f"{scale.phrases} terms on `block`, {scale.exact} of them of 3 to 7 words"
    present(result, title="Explanations", packages=PACKAGES, arguments=arguments)


def build_result(measured: Measured) -> Result:
    """Return tables and bars."""
    from benchmarks.explain_ways import OURS

    costs = table(
        ("one phrase, new to the embedder", "CPU ms", "median ms", "p95 ms"),
        [
            (name, *(f"{row[key]:.1f}" for key in ("cpu_ms", "median_ms", "p95_ms")))
            for name, row in measured.costs.items()
        ],
    )
    nearness = table(
        ("beside exact Shapley values", "same first word", "error", "CPU ms"),
        [
            (name, f"{row['same_first_word']:.0%}", f"{row['error']:.3f}", f"{row['cpu_ms']:.1f}")
            for name, row in measured.nearness.items()
        ],
    )
    kept = measured.phrases
    small = table(
        ("training phrases", "MB", "of the five nearest"),
        [(f"{kept['phrases']:,.0f}", f"{kept['file_mb']:.1f}", f"{kept['of_five_nearest']:.0%}")],
    )
    http = measured.http
    over_http = table(("over HTTP", "value"), [(name, f"{http[name]:.1f}") for name in http])
    slower = http["predict_p95_beside_ms"] - http["predict_p95_alone_ms"]
    ours = measured.costs[OURS]
    return Result(
        figures=asdict(measured),
        bars=[
            Bar("an explanation in the process: CPU, ms", ours["cpu_ms"], 50),
            Bar("an explanation in the process: p95, ms", ours["p95_ms"], 50),
            Bar("an explanation over HTTP: CPU of all processes, ms", http["explain_cpu_ms"], 50),
            Bar("an explanation over HTTP: p95, ms", http["explain_p95_ms"], 50),
            Bar("error beside exact Shapley values", measured.nearness[OURS]["error"], 0.1),
            Bar("a predict beside two clients that explain: p95 above alone, ms", slower, 20),
        ],
        tables=[costs, nearness, small, over_http],
    )


if __name__ == "__main__":
    main()

"""How well the loop keeps up: a simulated year under several policies, judged by an oracle.

    python -m benchmarks.year [--quick] [--json] [--seeds 101 102] [--policies never weekly]

Needs the demo's embedder (`dvc repro embedder`). Runs are kept below build/year/ and reused as long
as code, parameters, setting and seed are the same.
"""

from __future__ import annotations

import argparse

from benchmarks.harness import Result, options, present
from benchmarks.year.bars import make_bars
from benchmarks.year.plan import RUNS, Plan, Setting
from benchmarks.year.report import tables_of
from core.params.heads import LogisticHead
from core.params.schema import ClassifierParams, load_params
from core.settings import REPOSITORY
from operations.simulation.figures import summarise
from operations.simulation.picture import draw_year
from operations.simulation.policies import POLICIES
from operations.simulation.vectors import stored_vectors
from pipelines.stages.files import EMBEDDER

JUDGING_SEEDS = (101, 102, 103, 104, 105)
PACKAGES = ("numpy", "scikit-learn", "psycopg")
QUARTER = 91


def main() -> None:
    """Measure and print."""
    arguments = parse()
    plan = plan_of(arguments)
    vectors = stored_vectors(RUNS / "vectors", embedder=EMBEDDER)
    policies = arguments.policies or list(POLICIES)
    notes = plan.runs(vectors).play(seeds=arguments.seeds, policies=policies)
    figures = summarise(notes)
    picture = draw_year(notes, file=RUNS / f"year-{plan.key}.png")
    setting = plan.setting
    about = (
        f"{setting.days} days at scale {setting.scale}, label {setting.label}, "
        f"head {plan.block.head.kind}, seeds {', '.join(map(str, arguments.seeds))}; "
        f"picture: {picture.relative_to(REPOSITORY)}"
    )
    result = Result(figures, make_bars(figures, notes), tables_of(figures), about)
    present(result, title="A simulated year", packages=PACKAGES, arguments=arguments)


def parse() -> argparse.Namespace:
    """The options; `--quick` is a quarter at the small scale with the head `logistic`."""
    parser = options("how well the loop keeps up over a simulated year")
    parser.add_argument("--seeds", type=int, nargs="+", help="years (default 101 to 105)")
    parser.add_argument("--policies", nargs="+", choices=list(POLICIES), help="default: all")
    parser.add_argument("--scale", choices=("small", "default", "large"), default="default")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--label", choices=("block", "chapter"), default="block")
    parser.add_argument("--head", choices=("hybrid_svm", "logistic"), default="hybrid_svm")
    parser.add_argument("--calm", action="store_true", help="a year in which nothing happens")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.scale = "small"
        arguments.days = QUARTER
        arguments.label = "chapter"
        arguments.head = "logistic"
    arguments.seeds = arguments.seeds or ([1] if arguments.quick else list(JUDGING_SEEDS))
    return arguments


def plan_of(arguments: argparse.Namespace) -> Plan:
    """The block of params.yaml that classifies this label, with the head asked for."""
    setting = Setting(arguments.scale, arguments.days, arguments.label, arguments.calm)
    block = load_params(REPOSITORY / "params.yaml").classifier(arguments.label)
    return Plan(setting, with_head(block, arguments.head))


def with_head(block: ClassifierParams, kind: str) -> ClassifierParams:
    """The block with another head."""
    if kind == "hybrid_svm":
        return block
    return block.model_copy(update={"head": LogisticHead(kind="logistic")})


if __name__ == "__main__":
    main()

"""`perennial loadtest` and `advise`: measure the service under load, and advise its sizes."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import NEGATIVE_VERDICT, Json, output

if TYPE_CHECKING:
    from core.settings import Settings
    from operations.sizing.advice import Advice
    from operations.sizing.load_report import LoadReport
    from operations.sizing.requests_log import LoggedRequests
    from operations.sizing.trial import SizingTrial

Url = Annotated[
    str | None,
    typer.Option(help="Address of the service. By default, the service of this machine."),
]
Classifier = Annotated[
    str | None,
    typer.Option(help="A classifier of the service. By default, the one with the most requests."),
]
Rate = Annotated[float, typer.Option(min=0.1, help="Requests per second.")]
Peak = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        help="Requests per second in the middle fifth of the time. By default, 4 times the rate.",
    ),
]
Seconds = Annotated[float, typer.Option(min=1, help="Duration of the test in seconds.")]
File = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Read the phrases from a file instead of the inference log.",
        exists=True,
        dir_okay=False,
    ),
]
Column = Annotated[
    str | None,
    typer.Option(
        help="The CSV column that contains the phrases. Without it, the file is read as plain text."
    ),
]
New = Annotated[
    float, typer.Option(min=0, max=1, help="Share of phrases that were never requested before.")
]
Zipf = Annotated[
    bool,
    typer.Option(
        "--zipf", help="Draw phrases from a fitted Zipf law instead of their own frequencies."
    ),
]
Seed = Annotated[int, typer.Option(help="Seed for drawing the phrases.")]
Limit = Annotated[
    float | None,
    typer.Option(
        "--max-p99", min=0, help="Exit with code 3 when the 99th percentile exceeds this (ms)."
    ),
]
Rows = Annotated[
    int, typer.Option(min=100, help="How many of the newest answers of the log to read.")
]
Within = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Hit rate that a smaller cache may cost, as a share of all answers."
    ),
]
Png = Annotated[
    Path | None,
    typer.Option(help="Where to write the plot. By default, to the reports.", dir_okay=False),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check", help="Try the advice out. Starts two services and runs each for --seconds."
    ),
]


def register(app: typer.Typer) -> None:
    """Add `loadtest` and `advise`."""
    app.command(epilog="Example: perennial loadtest --rate 50 --peak 200 --seconds 60 --new 0.05")(
        loadtest
    )
    app.command(epilog="Example: perennial advise --rate 50 --peak 200 --check")(advise)


def loadtest(
    url: Url = None,
    classifier: Classifier = None,
    rate: Rate = 50,
    peak: Peak = None,
    seconds: Seconds = 60,
    file: File = None,
    column: Column = None,
    new: New = 0.05,
    zipf: Zipf = False,
    rows: Rows = 200_000,
    seed: Seed = 0,
    max_p99: Limit = None,
    json: Json = False,
) -> None:
    """Send requests at fixed moments and report latencies and hit rates.

    Cold and warm phrases are reported separately. The clock of a request starts when it is due, so
    a stalled service shows. Answers are logged like any traffic, with a routing key that begins
    with `loadtest-`. Exit code 3 after errors.
    """
    from core.settings import load_settings
    from operations.sizing.load_report import report_load
    from operations.sizing.loadtest import LoadOptions, prepare_load, run_load
    from operations.sizing.requests_log import RequestSource

    source = RequestSource(file, column, classifier, rows)
    options = LoadOptions(url, classifier, rate, peak or 4 * rate, seconds, new, zipf, seed)
    plan, exponent = prepare_load(load_settings(), source, options)
    requests = f"{len(plan.phrases)} requests for {plan.classifier}"
    with output().working(f"sending {requests} to {plan.url} in {seconds:g} s"):
        report = report_load(plan, run_load(plan))
    _show_load(report, {"url": plan.url, "zipf_s": exponent, "new": new})
    if report.whole.errors or (max_p99 is not None and _exceeds(report.whole.p99, max_p99)):
        raise typer.Exit(NEGATIVE_VERDICT)


def advise(
    classifier: Classifier = None,
    rate: Rate = 50,
    peak: Peak = None,
    file: File = None,
    column: Column = None,
    rows: Rows = 200_000,
    within: Within = 0.005,
    png: Png = None,
    check: Check = False,
    seconds: Seconds = 20,
    json: Json = False,
) -> None:
    """Advise the sizes of both caches, workers and threads from logged requests.

    It also plots the hit rate of every cache size. With --check, two isolated services answer the
    newest requests, one with the advised caches and one without, and the predictions are shown
    beside the measurements.
    """
    from core.settings import load_settings
    from operations.sizing.advice import advise_sizes, costs_of
    from operations.sizing.requests_log import RequestSource, load_requests

    if check and file and not classifier:
        raise typer.BadParameter("--from requires --classifier too", param_hint="--check")
    settings = load_settings()
    requests = load_requests(settings, RequestSource(file, column, classifier, rows))
    sizes_now = (settings.cache_answers, settings.cache_phrases)
    advice = advise_sizes(
        requests,
        costs=costs_of(requests),
        now=sizes_now,
        rate=rate,
        peak=peak or 4 * rate,
        within=within,
    )
    trial = _try_out(settings, requests, advice, seconds=seconds) if check else None
    if trial is not None:
        advice = replace(advice, costs=trial.costs)
    _show_advice(advice, trial, png or settings.reports / "hit-rates.png")


def _try_out(
    settings: Settings, requests: LoggedRequests, advice: Advice, *, seconds: float
) -> SizingTrial:
    from operations.sizing.trial import try_sizes

    sizes = (advice.answers.size, advice.embeddings.size)
    with output().working("serving the newest bento twice: with the advised caches and without"):
        return try_sizes(settings, requests, sizes=sizes, rate=advice.rate, seconds=seconds)


def _show_advice(advice: Advice, trial: SizingTrial | None, picture: Path) -> None:
    from operations.sizing.advice_page import advice_facts, advice_rows
    from operations.sizing.plot import draw_hit_rates

    draw_hit_rates(advice, picture)
    facts = advice_facts(advice, trial) | {"picture": picture}
    output().facts(facts, [*advice_rows(advice, trial), ("picture", str(picture))])


def _show_load(report: LoadReport, inputs: dict[str, object]) -> None:
    out = output()
    columns = ("requests", "sent", "hit rate", "p50 ms", "p95 ms", "p99 ms", "errors")
    rows = [
        (
            part.name,
            part.requests,
            _share(part.hit_rate),
            _ms(part.p50),
            _ms(part.p95),
            _ms(part.p99),
            part.errors,
        )
        for part in report.slices
    ]
    out.table({**asdict(report), **inputs}, columns=columns, rows=rows)
    if not out.json:
        rate = f"{report.achieved_rate:g} of {report.rate:g}"
        peak = f"{report.achieved_peak:g} of {report.peak:g}"
        typer.echo(f"answered per second: {rate}; at the peak {peak}")
        typer.echo(f"retries: {report.retries}; statuses: {report.statuses}")


def _exceeds(p99: float | None, limit: float) -> bool:
    """True also when nothing was answered."""
    return p99 is None or p99 > limit


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"

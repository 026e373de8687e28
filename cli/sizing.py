"""loadtest, advise: how much traffic a service bears, and how large it should be."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import SAID_NO, Json, output

if TYPE_CHECKING:
    from operations.sizing.advice import Advice
    from operations.sizing.loadtest import Report
    from operations.sizing.trial import Trial

Url = Annotated[
    str | None, typer.Option(help="Address of the service; by default that of this machine.")
]
Classifier = Annotated[
    str | None,
    typer.Option(help="A classifier of the service; by default the one most asked of late."),
]
Rate = Annotated[float, typer.Option(min=0.1, help="Requests a second.")]
Peak = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        help="Requests a second in the middle fifth of the time; by default four times the rate.",
    ),
]
Seconds = Annotated[float, typer.Option(min=1, help="How long requests are sent.")]
File = Annotated[
    Path | None,
    typer.Option(
        "--from", help="Phrases from a file instead of the log.", exists=True, dir_okay=False
    ),
]
Column = Annotated[
    str | None,
    typer.Option(help="Column of a CSV that holds the phrases; without it the file is plain text."),
]
New = Annotated[float, typer.Option(min=0, max=1, help="Share of phrases that nobody said before.")]
Zipf = Annotated[
    bool,
    typer.Option(
        "--zipf",
        help="Draw by a Zipf law fitted to the phrases instead of by how often each was said.",
    ),
]
Seed = Annotated[int, typer.Option(help="Draws the phrases.")]
Limit = Annotated[
    float | None,
    typer.Option(
        "--max-p99", min=0, help="Milliseconds; when the 99th percentile is above, exit code 3."
    ),
]
Rows = Annotated[
    int, typer.Option(min=100, help="How many of the newest answers of the log are read.")
]

Within = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Hit rate that a smaller cache may cost, as a share of all answers."
    ),
]
Png = Annotated[
    Path | None,
    typer.Option(help="Where the picture goes; by default among the reports.", dir_okay=False),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check", help="Try the advice out; takes two starts of a service and twice --seconds."
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
    """Play phrases at fixed moments; report cold and warm ones apart, with the hit rate. Exit code 3 after errors.

    A request's clock starts when it is due, so that a stalled service shows. What is answered is logged like any traffic, with a
    routing key that begins with `loadtest-`.
    """
    from core.settings import load_settings
    from operations.sizing.loadtest import (
        find_classifiers,
        plan_load,
        report_load,
        requests_of,
        run_load,
    )
    from operations.sizing.requests_log import most_asked, stream_asked
    from operations.sizing.streams import draw_phrases

    out, settings, highest = output(), load_settings(), peak or 4 * rate
    url = (url or (settings.url_of(classifier) if classifier else settings.service_url)).rstrip("/")
    known = find_classifiers(url, classifier)
    wanted, said = most_asked(
        stream_asked(settings, file=file, column=column, classifier=classifier, rows=rows), known
    )
    asked = requests_of(rate=rate, peak=highest, seconds=seconds)
    drawn, s = draw_phrases(
        said, rows=asked, new=new, seed=seed, mark=f"{time.time_ns():x}", zipf=zipf
    )
    plan = plan_load(url, wanted, drawn, rate=rate, peak=highest, seconds=seconds)
    with out.working(f"asking {url} for {len(drawn)} answers of {wanted} in {seconds:g} s"):
        report = report_load(plan, run_load(plan))
    _show_load({**asdict(report), "url": url, "zipf_s": s, "new": new}, report)
    over = max_p99 is not None and (report.whole.p99 is None or report.whole.p99 > max_p99)
    if report.whole.errors or over:
        raise typer.Exit(SAID_NO)


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
    """Advise sizes of both caches, workers and threads, from what was asked in which order; draw the hit rate of every size.

    With --check the newest phrases are asked of two services of their own, one with the advised caches and one without, and prediction
    and measurement are shown side by side.
    """
    from core.settings import load_settings
    from operations.sizing.advice import advise as think
    from operations.sizing.advice import costs_of
    from operations.sizing.plot import draw_hit_rates
    from operations.sizing.requests_log import stream_asked
    from operations.sizing.trial import try_sizes

    out, settings = output(), load_settings()
    if check and file and not classifier:
        raise typer.BadParameter(
            "phrases of a file need --classifier, to ask it", param_hint="--check"
        )
    asked = stream_asked(settings, file=file, column=column, classifier=classifier, rows=rows)
    now, trial = (settings.cache_answers, settings.cache_phrases), None
    told = think(
        asked, costs=costs_of(asked), now=now, rate=rate, peak=peak or 4 * rate, within=within
    )
    if check:
        with out.working("serving the newest bento twice, with the advised caches and without"):
            trial = try_sizes(
                settings,
                asked,
                sizes=(told.answers.size, told.embeddings.size),
                rate=rate,
                seconds=seconds,
            )
        told = replace(told, costs=trial.costs)
    picture = png or settings.reports / "hit-rates.png"
    draw_hit_rates(told, picture)
    _show_advice(told, trial, picture)


def _show_advice(told: Advice, trial: Trial | None, picture: Path) -> None:
    from operations.sizing.advice_page import advice_facts, advice_rows

    output().facts(
        advice_facts(told, trial) | {"picture": picture},
        [*advice_rows(told, trial), ("picture", str(picture))],
    )


def _show_load(told: dict, report: Report) -> None:
    out, columns = (
        output(),
        ("requests", "asked", "hit rate", "p50 ms", "p95 ms", "p99 ms", "errors"),
    )
    rows = [
        (
            one.name,
            one.requests,
            _share(one.hit_rate),
            _ms(one.p50),
            _ms(one.p95),
            _ms(one.p99),
            one.errors,
        )
        for one in report.slices
    ]
    out.table(told, columns=columns, rows=rows)
    if not out.json:
        typer.echo(
            f"answered a second: {report.achieved_rate:g} of {report.rate:g}; at the peak {report.achieved_peak:g} of {report.peak:g}"
        )
        typer.echo(f"asked again: {report.retries}; statuses: {report.statuses}")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"

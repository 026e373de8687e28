"""The metrics for Prometheus. Counts are plain numbers; only a scrape turns them into metrics.

BentoML's own request metrics are off: they label by the requested path, so that a scan of paths
grows memory without bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from bentos.answering.answers import AnswerService
from bentos.answering.shadow import Shadow
from bentos.embedder.contract import EmbedderStats
from bentos.heads.live_heads import LiveHeads
from bentos.heads.retained import Retained
from bentos.inference_log.feedback import FeedbackCounts
from bentos.inference_log.journal import JournalCounts
from bentos.lru import CacheCounts

Values = Mapping[Any, float]  # from the values of the labels, a tuple, to the value of the metric


@dataclass
class ServiceCounts:
    """HTTP responses of the classifier service by (route, status); the routes are a fixed set."""

    responses: Counter[tuple[str, int]] = field(default_factory=Counter)


@dataclass(frozen=True)
class ServiceState:
    """The input of one scrape. `embedder` is None when the embedder service does not answer."""

    answers: AnswerService
    heads: LiveHeads
    journal: JournalCounts
    feedback: FeedbackCounts
    responses: ServiceCounts
    retained: Retained
    embedder: EmbedderStats | None = None


def render_metrics(state: ServiceState) -> bytes:
    """Return the metrics in the Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(_StateCollector(state))
    return generate_latest(registry)


class _StateCollector(Collector):
    def __init__(self, state: ServiceState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        yield from _requests(self._state)
        yield from _caches(self._state)
        yield from _heads(self._state.heads, self._state.retained)
        yield _gauge(
            "perennial_memory_revision",
            "Newest revision of the memory",
            ("classifier",),
            {(name,): number for name, number in self._state.answers.memories.revisions.items()},
        )
        yield _gauge(
            "perennial_pins",
            "Phrases with a pinned label",
            ("classifier",),
            {(name,): count for name, count in self._state.answers.pins.counts().items()},
        )
        yield from _shadow(self._state.answers.shadow)
        yield from _journal(self._state.journal)
        yield from _feedback(self._state.feedback)


def _requests(state: ServiceState) -> Iterator[Metric]:
    counts = state.answers.counts
    yield _counter(
        "perennial_phrases", "Phrases answered", ("classifier", "version", "role"), counts.answered
    )
    yield _counter(
        "perennial_phrases_abstained",
        "Phrases answered with none of these",
        ("classifier", "version"),
        counts.abstained,
    )
    yield _counter(
        "perennial_phrases_cached",
        "Phrases answered without computing an embedding",
        ("classifier",),
        {(name,): count for name, count in counts.cached.items()},
    )
    yield _counter(
        "perennial_responses", "HTTP responses", ("route", "status"), state.responses.responses
    )
    yield SummaryMetricFamily(
        "perennial_answer_seconds",
        "Time from a checked request to its answers",
        count_value=counts.requests,
        sum_value=counts.seconds,
    )


def _caches(state: ServiceState) -> Iterator[Metric]:
    levels: dict[tuple[str, ...], CacheCounts | EmbedderStats] = {
        ("answers",): state.answers.cache.counts
    }
    sizes = {("answers",): len(state.answers.cache)}
    weights = {("answers",): state.answers.cache.weight}

    if state.embedder is not None:
        levels[("embeddings",)] = state.embedder
        sizes[("embeddings",)] = state.embedder.size
        weights[("embeddings",)] = state.embedder.bytes
        yield _counter(
            "perennial_embeddings_computed",
            "Embeddings computed",
            (),
            {(): state.embedder.computed},
        )

    for name in ("hits", "misses", "evictions"):
        yield _counter(
            f"perennial_cache_{name}",
            f"Cache {name}",
            ("level",),
            {key: getattr(level, name) for key, level in levels.items()},
        )

    yield _gauge("perennial_cache_size", "Entries kept", ("level",), sizes)
    yield _gauge("perennial_cache_bytes", "Memory of the entries kept, about", ("level",), weights)
    yield _gauge(
        "perennial_misses_waiting",
        "New phrases being answered",
        (),
        {(): len(state.answers.batcher)},
    )


def _heads(heads: LiveHeads, retained: Retained) -> Iterator[Metric]:
    live = {
        (name, model.model.version, model.role): 1
        for name, rollout in heads.current.items()
        for model in rollout.models
    }
    shares = {
        (name, rollout.canary.model.version): rollout.share
        for name, rollout in heads.current.items()
        if rollout.canary
    }
    yield _gauge(
        "perennial_live_head",
        "1 for every version that plays a role",
        ("classifier", "version", "role"),
        live,
    )
    yield _gauge(
        "perennial_canary_share",
        "Share of the requests that a canary answers",
        ("classifier", "version"),
        shares,
    )
    yield _gauge(
        "perennial_asked_heads",
        "Versions kept because somebody asked for them",
        (),
        {(): len(retained)},
    )
    yield _counter(
        "perennial_asked_heads_loaded",
        "Versions loaded because somebody asked for them",
        (),
        {(): retained.loads},
    )
    yield _counter("perennial_head_swaps", "Heads taken into service", (), {(): heads.counts.swaps})
    yield _counter("perennial_head_refusals", "Heads refused", (), {(): heads.counts.refusals})


def _shadow(shadow: Shadow) -> Iterator[Metric]:
    outcomes = {(name,): count for name, count in shadow.counts.phrases.items()}
    yield _counter(
        "perennial_shadow_phrases", "Phrases offered to a shadow", ("outcome",), outcomes
    )
    yield _gauge(
        "perennial_shadow_waiting", "Phrases that wait for a shadow", (), {(): len(shadow)}
    )


def _journal(counts: JournalCounts) -> Iterator[Metric]:
    outcomes = {
        (name,): getattr(counts, name)
        for name in ("written", "shipped", "corrupt", "refused", "dropped")
    }
    yield _counter(
        "perennial_journal_rows", "Rows of the inference journal", ("outcome",), outcomes
    )
    yield _gauge(
        "perennial_journal_waiting", "Rows not yet in the database", (), {(): counts.waiting}
    )


def _feedback(counts: FeedbackCounts) -> Iterator[Metric]:
    outcomes = {
        ("received",): counts.received.written,
        ("stored",): counts.stored,
        ("refused",): counts.refused,
        ("corrupt",): counts.received.corrupt + counts.retried.corrupt,
        ("dropped",): counts.received.dropped,
    }
    yield _counter(
        "perennial_feedback_rows", "Feedback sent to the service", ("outcome",), outcomes
    )
    yield _gauge(
        "perennial_feedback_waiting", "Feedback not yet in the database", (), {(): counts.waiting}
    )


def _counter(name: str, text: str, labels: tuple[str, ...], values: Values) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=labels), values)


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Values) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), values)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Values) -> Metric:
    for key, value in values.items():
        family.add_metric([str(part) for part in key], value)
    return family

"""Explains phrases in several ways, in this process and over HTTP; see `benchmarks.explain`."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations
from math import factorial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import httpx
import numpy as np

from benchmarks.harness import progress
from benchmarks.served import NAME, Served, served
from benchmarks.streams import real_phrases
from pipelines.model.classifier import PhraseClassifier
from pipelines.model.embedder import load_embedder
from pipelines.model.explanation import explain
from pipelines.model.head_file import load_head
from pipelines.model.text import clean_phrase
from pipelines.model.training import TrainingRows
from pipelines.model.training_phrases import (
    PHRASES_FILE,
    TrainingPhrases,
    choose_training_phrases,
    save_training_phrases,
)
from pipelines.stages.train import training_rows

BUILD = Path("build")
CLASSIFIER = "block"
OURS = "perennial explain"
NEAREST_OF = 200
MOST_WORDS = 7
"""Of the phrases for which the exact values are computed: 128 predictions."""
Margins = Callable[[str], np.ndarray]
Figures = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """Phrases that are explained, those with exact values, and seconds of load."""

    phrases: int
    exact: int
    seconds: float


QUICK = Scale(phrases=30, exact=8, seconds=4)
FULL = Scale(phrases=300, exact=60, seconds=20)


@dataclass(frozen=True)
class Measured:
    """Milliseconds and nearness by way; figures of the training phrases and of the service."""

    costs: dict[str, Figures]
    nearness: dict[str, Figures]
    phrases: Figures
    http: Figures


def measure(scale: Scale, *, seed: int) -> Measured:
    """Return the figures of both parts."""
    cleaned = map(clean_phrase, real_phrases(20_000, seed=seed))
    phrases = [text for text in cleaned if len(text.split()) >= 2]
    random.Random(seed).shuffle(phrases)
    progress("the training phrases")
    rows = training_rows(CLASSIFIER).with_test()
    kept = choose_training_phrases(rows)
    nearest = measure_nearest(rows, kept, seed=seed)
    head = load_head(BUILD / "classifiers" / CLASSIFIER / "model")
    classifier = PhraseClassifier(head, load_embedder(BUILD / "embedder"))
    costs = measure_costs(classifier, phrases[: scale.phrases], kept)
    short = [text for text in phrases if 3 <= len(text.split()) <= MOST_WORDS][: scale.exact]
    nearness = measure_nearness(classifier, short)
    progress("the service")
    with served(BUILD) as service:
        http = measure_service(service, phrases, scale)
    return Measured(costs, nearness, nearest, http)


def measure_nearest(rows: TrainingRows, kept: TrainingPhrases, *, seed: int) -> Figures:
    """Compare the five nearest of the small file with those of the whole vectors."""
    phrases = kept.text.decode().split("\n")
    place_of = {phrase: place for place, phrase in enumerate(rows.cleaned.tolist())}
    vectors = rows.vectors[[place_of[phrase] for phrase in phrases]]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    shares = []
    for place in random.Random(seed).sample(range(len(phrases)), NEAREST_OF):
        cosines = unit @ unit[place]
        cosines[place] = -2
        exact = {phrases[near] for near in np.argsort(-cosines)[:5]}
        near = kept.nearest(unit[place], besides=phrases[place])
        shares.append(len(exact & {each.phrase for each in near}) / 5)
    with TemporaryDirectory() as folder:
        save_training_phrases(kept, Path(folder))
        size = (Path(folder) / PHRASES_FILE).stat().st_size / 1e6
    return {"phrases": len(phrases), "file_mb": size, "of_five_nearest": statistics.fmean(shares)}


def measure_costs(
    classifier: PhraseClassifier, phrases: Sequence[str], kept: TrainingPhrases
) -> dict[str, Figures]:
    """Time each way on the same phrases, whose embeddings nobody has computed before."""
    ways: dict[str, Callable[[str], object]] = {
        OURS: lambda text: explain(classifier, text, phrases=kept),
        "each word left out": lambda text: left_out(classifier, text),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number, text in enumerate([phrases[0], *phrases]):
        for name, way in ways.items() if number % 2 else reversed(ways.items()):
            wall = time.perf_counter()
            cpu = time.process_time()
            way(text)
            spent = (time.perf_counter() - wall, time.process_time() - cpu)
            seconds[name].append(spent)
    return {name: _summary(rows[1:]) for name, rows in seconds.items()}


def _summary(rows: Sequence[tuple[float, float]]) -> Figures:
    walls = sorted(1000 * wall for wall, _ in rows)
    return {
        "cpu_ms": statistics.fmean(1000 * cpu for _, cpu in rows),
        "median_ms": statistics.median(walls),
        "p95_ms": walls[int(0.95 * (len(walls) - 1))],
    }


def margin_of(classifier: PhraseClassifier, text: str) -> Callable[[Sequence[str]], np.ndarray]:
    """Return texts -> the lead of the answer to `text` over its runner-up, in logits."""
    head = classifier.head
    first, second = np.argsort(-head.logits([text], classifier.embed([text]))[0])[:2]

    def margins(texts: Sequence[str]) -> np.ndarray:
        logits = head.logits(list(texts), classifier.embed(list(texts)))
        lead: np.ndarray = logits[:, first] - logits[:, second]
        return lead

    return margins


def left_out(classifier: PhraseClassifier, text: str) -> np.ndarray:
    """Return how much the lead falls without each word."""
    words = text.split()
    without = [" ".join(words[:place] + words[place + 1 :]) for place in range(len(words))]
    lead = margin_of(classifier, text)([text, *without])
    lost: np.ndarray = lead[0] - lead[1:]
    return lost


def exact_shapley(classifier: PhraseClassifier, text: str) -> np.ndarray:
    """Return the Shapley value of each word, by all 2^n phrases."""
    words = text.split()
    count = len(words)
    subsets = [chosen for size in range(count + 1) for chosen in combinations(range(count), size)]
    texts = [" ".join(words[place] for place in chosen) for chosen in subsets]
    lead = dict(zip(subsets, margin_of(classifier, text)(texts), strict=True))
    values = np.zeros(count)
    for chosen in subsets:
        weight = (
            factorial(len(chosen)) * factorial(count - len(chosen) - 1)
            if len(chosen) < count
            else 0
        )
        for place in set(range(count)) - set(chosen):
            joined = tuple(sorted((*chosen, place)))
            values[place] += weight / factorial(count) * (lead[joined] - lead[chosen])
    return values


def by_shap(classifier: PhraseClassifier, text: str) -> np.ndarray:
    """Return SHAP's exact values for the words of a phrase."""
    import shap

    words = text.split()
    margins = margin_of(classifier, text)

    def lead(masks: np.ndarray) -> np.ndarray:
        texts = [
            " ".join(word for word, kept in zip(words, mask, strict=True) if kept) for mask in masks
        ]
        return margins(texts)

    explainer = shap.explainers.Exact(lead, shap.maskers.Independent(np.zeros((1, len(words)))))
    values: np.ndarray = explainer(np.ones((1, len(words)))).values[0]
    return values


def measure_nearness(classifier: PhraseClassifier, phrases: Sequence[str]) -> dict[str, Figures]:
    """Compare each way with the exact Shapley values of the same phrases."""
    ways: dict[str, Margins] = {
        OURS: lambda text: np.array([word.margin for word in explain(classifier, text).words]),
        "each word left out": lambda text: left_out(classifier, text),
    }
    if find_spec("shap"):
        ways["SHAP, exact"] = lambda text: by_shap(classifier, text)
    exact = {text: exact_shapley(classifier, text) for text in phrases}
    return {name: _nearness(name, way, exact) for name, way in ways.items()}


def _nearness(name: str, way: Margins, exact: dict[str, np.ndarray]) -> Figures:
    progress(f"Shapley values beside {name}")
    started = time.process_time()
    margins = {text: way(text) for text in exact}
    cpu = time.process_time() - started
    same = [int(margins[text].argmax() == values.argmax()) for text, values in exact.items()]
    errors = [
        np.abs(margins[text] - values).sum() / np.abs(values).sum()
        for text, values in exact.items()
    ]
    return {
        "same_first_word": statistics.fmean(same),
        "error": float(statistics.fmean(errors)),
        "cpu_ms": 1000 * cpu / len(exact),
    }


def measure_service(service: Served, phrases: Sequence[str], scale: Scale) -> Figures:
    """Predict new phrases alone, then beside two clients that explain without a pause."""
    rows = training_rows(NAME).with_test()
    for model in service.versions.values():
        folder = Path(model.head_location)
        save_training_phrases(choose_training_phrases(rows), folder)

    fresh = iter(phrases)
    predict = f"{service.url}/v1/{NAME}/predict"
    explains = f"{service.url}/v1/{NAME}/explain"
    ask_for(predict, fresh, seconds=1)
    ask_for(explains, iter(phrases[-50:]), seconds=1)

    alone = ask_for(predict, fresh, seconds=scale.seconds)
    before = service.cpu_seconds()
    explained = ask_for(explains, fresh, seconds=scale.seconds)
    cpu = (service.cpu_seconds() - before) / len(explained)

    ended = Event()
    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(ask_until, explains, phrases[start::2], ended) for start in (0, 1)]
        beside = ask_for(predict, fresh, seconds=scale.seconds)
        ended.set()
    return {
        "explain_median_ms": statistics.median(explained),
        "explain_p95_ms": _p95(explained),
        "explain_cpu_ms": 1000 * cpu,
        "explained_beside": float(sum(each.result() for each in busy)),
        "predict_median_alone_ms": statistics.median(alone),
        "predict_p95_alone_ms": _p95(alone),
        "predict_median_beside_ms": statistics.median(beside),
        "predict_p95_beside_ms": _p95(beside),
    }


def ask_for(url: str, phrases: Iterator[str], *, seconds: float) -> list[float]:
    """Ask 50 times a second; return the milliseconds of each answer."""
    taken = []
    ends = time.perf_counter() + seconds
    with httpx.Client(timeout=10) as client:
        while time.perf_counter() < ends:
            started = time.perf_counter()
            client.post(url, json={"phrase": next(phrases)}).raise_for_status()
            taken.append(1000 * (time.perf_counter() - started))
            time.sleep(max(0.02 - taken[-1] / 1000, 0))
    return taken


def ask_until(url: str, phrases: Sequence[str], ended: Event) -> int:
    """Explain one phrase after the other until `ended`; return how many."""
    count = 0
    with httpx.Client(timeout=10) as client:
        while not ended.is_set():
            client.post(url, json={"phrase": phrases[count % len(phrases)]}).raise_for_status()
            count += 1
    return count


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]

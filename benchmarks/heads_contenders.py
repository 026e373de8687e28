"""Who is compared: every kind of head, and peers of other libraries, each fitted and asked."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from benchmarks.harness import timed
from benchmarks.heads_sets import LabelledSet
from core.params.heads import Head as HeadParams
from pipelines.model.arrays import Float64, Strings
from pipelines.model.head_file import Head, load_head, save_head
from pipelines.model.heads import fit_heads
from pipelines.model.memory import AppliedMemory
from pipelines.model.mlp_head import import_keras

TIMED_ALONE = 200
"""Phrases that are asked one by one for the CPU time of one."""
LEAST_TUNING_SECONDS = 10.0
KINDS = ("majority", "logistic", "tfidf_svm", "hybrid_svm", "mlp", "ensemble")
"""The kinds of head, the simplest first."""
FASTTEXT_LABEL = "__label__"


@dataclass(frozen=True, eq=False)
class Fitted:
    """Answers to the test rows, (n,) each, and what they cost; no probability: none is given."""

    predicted: Strings
    probability: Float64 | None
    fit_cpu_seconds: float
    phrase_cpu_ms: float
    bytes: int


def fit_kind(kind: str, given: LabelledSet, *, seed: int) -> Fitted:
    """Fit a judged and a served head; the judged one answers beside the memory, as in service."""
    params: HeadParams = TypeAdapter(HeadParams).validate_python(kind)
    if kind in ("mlp", "ensemble"):
        import_keras()  # the import is not part of a fit
    with timed() as timing:
        heads = fit_heads(params, training=given.rows, embedder_id="benchmark", seed=seed)
    with TemporaryDirectory() as folder:
        save_head(heads.judged, Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        return _answers(load_head(Path(folder)), given, fit=timing.cpu, size=size)


def fit_bfloat16(given: LabelledSet, *, seed: int) -> Fitted:
    """Fit the perceptron with products of bfloat16 and weights of float32."""
    keras = import_keras()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return fit_kind("mlp", given, seed=seed)
    finally:
        keras.config.set_dtype_policy("float32")


def _answers(head: Head, given: LabelledSet, *, fit: float, size: int) -> Fitted:
    tested = given.tested
    memory = AppliedMemory.beside(given.memory, head.labels)
    cleaned = tested.cleaned.tolist()
    shares = memory.apply(cleaned, head.probabilities(cleaned, tested.vectors))
    alone = list(zip(cleaned[:TIMED_ALONE], tested.vectors[:TIMED_ALONE], strict=True))
    head.probabilities(cleaned[:1], tested.vectors[:1])  # tables are prepared once
    with timed() as asking:
        for phrase, vector in alone:
            head.probabilities([phrase], vector[None])
    names = np.array(memory.labels, dtype=object)
    return Fitted(
        names[shares.argmax(axis=1)].astype(str),
        shares.max(axis=1).astype(np.float64),
        fit,
        1000 * asking.cpu / len(alone),
        size,
    )


def fit_linear_svc(given: LabelledSet, *, characters: bool) -> Fitted:
    """TF-IDF of words and LinearSVC, with n-grams of words and characters if `characters`."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    features = TfidfVectorizer()
    if characters:
        features = make_union(
            TfidfVectorizer(ngram_range=(1, 2)),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5)),
        )
    return _fit_pipeline(make_pipeline(features, LinearSVC()), given)


def fit_logistic_regression(given: LabelledSet) -> Fitted:
    """TF-IDF of words and LogisticRegression, both with their defaults."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return _fit_pipeline(make_pipeline(TfidfVectorizer(), LogisticRegression()), given)


def _fit_pipeline(pipeline: Any, given: LabelledSet) -> Fitted:
    import skops.io

    with timed() as fitting:
        pipeline.fit(*given.training)
    cleaned = given.tested.cleaned.tolist()
    predicted = pipeline.predict(cleaned)
    probable = hasattr(pipeline, "predict_proba")
    probability = pipeline.predict_proba(cleaned).max(axis=1) if probable else None
    milliseconds = _ask_alone(lambda phrase: pipeline.predict([phrase]), cleaned)
    size = len(skops.io.dumps(pipeline))
    return Fitted(predicted, probability, fitting.cpu, milliseconds, size)


def fit_fasttext(given: LabelledSet, *, seed: int, cpu_seconds: float | None) -> Fitted:
    """Fit fastText on one thread, with its defaults or tuned for so many CPU seconds.

    fastText counts wall seconds: on a busy machine they are stretched by what its defaults took.
    """
    import fasttext

    with TemporaryDirectory() as folder:
        options = {"thread": 1, "seed": seed, "verbose": 0}
        training = given.rows.without_test()
        every = _lines(Path(folder) / "all.txt", training.cleaned, training.labels)
        with timed() as fitting:
            model = fasttext.train_supervised(input=every, **options)
        if cpu_seconds is not None:
            held = training.validation
            part = Path(folder) / "part.txt"
            slice_ = Path(folder) / "slice.txt"
            wall = max(cpu_seconds, LEAST_TUNING_SECONDS) * fitting.wall / fitting.cpu
            with timed() as fitting:
                model = fasttext.train_supervised(
                    input=_lines(part, training.cleaned[~held], training.labels[~held]),
                    autotuneValidationFile=_lines(
                        slice_, training.cleaned[held], training.labels[held]
                    ),
                    autotuneDuration=max(1, round(wall)),
                    **options,
                )
        stored = Path(folder) / "model.bin"
        model.save_model(str(stored))
        return _fasttext_answers(model, given, fit=fitting.cpu, size=stored.stat().st_size)


def _lines(file: Path, phrases: Strings, labels: Strings) -> str:
    """Write a file as fastText reads it; its labels must not contain a space."""
    lines = [
        f"{FASTTEXT_LABEL}{label.replace(' ', '_')} {phrase}\n"
        for phrase, label in zip(phrases.tolist(), labels.tolist(), strict=True)
    ]
    file.write_text("".join(lines), encoding="utf-8")
    return str(file)


def _fasttext_answers(model: Any, given: LabelledSet, *, fit: float, size: int) -> Fitted:
    cleaned = given.tested.cleaned.tolist()
    names = {label.replace(" ", "_"): label for label in given.training[1]}
    labels, shares = model.predict(cleaned)
    # A phrase without a known word gets no answer.
    places = [row[0].removeprefix(FASTTEXT_LABEL) if row else "" for row in labels]
    milliseconds = _ask_alone(lambda phrase: model.predict([phrase]), cleaned)
    predicted = np.array([names.get(place, "") for place in places], dtype=str)
    probability = np.array([min(1.0, float(row[0])) if len(row) else 0.0 for row in shares])
    return Fitted(predicted, probability, fit, milliseconds, size)


def _ask_alone(ask: Callable[[str], object], cleaned: Sequence[str]) -> float:
    phrases = cleaned[:TIMED_ALONE]
    ask(phrases[0])
    with timed() as asking:
        for phrase in phrases:
            ask(phrase)
    return 1000 * asking.cpu / len(phrases)


PEERS = (
    "LinearSVC, words",
    "LinearSVC, words and characters",
    "LogisticRegression, words",
    "fastText",
    "fastText, tuned",
)
LINEAR_SVCS = PEERS[:2]
BFLOAT16 = "mlp, bfloat16"
CONTENDERS = (*KINDS, BFLOAT16, *PEERS)


def installed(name: str) -> bool:
    """Return False for fastText where its wheel, which no lock names, is missing."""
    return not name.startswith("fastText") or importlib.util.find_spec("fasttext") is not None


def fit_contender(name: str, given: LabelledSet, *, seed: int, cpu_seconds: float) -> Fitted:
    """Fit and ask a contender; `cpu_seconds` are those of the default head, for tuning."""
    if name in KINDS:
        return fit_kind(name, given, seed=seed)
    fits: dict[str, Callable[[LabelledSet], Fitted]] = {
        PEERS[0]: partial(fit_linear_svc, characters=False),
        PEERS[1]: partial(fit_linear_svc, characters=True),
        PEERS[2]: fit_logistic_regression,
        PEERS[3]: partial(fit_fasttext, seed=seed, cpu_seconds=None),
        PEERS[4]: partial(fit_fasttext, seed=seed, cpu_seconds=cpu_seconds),
        BFLOAT16: partial(fit_bfloat16, seed=seed),
    }
    return fits[name](given)

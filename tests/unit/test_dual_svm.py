from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.svm import LinearSVC

from pipelines.model.dual_svm import DualSvm


def problem(rows: int = 200, labels: int = 4) -> dict:
    random = np.random.default_rng(5)
    codes = random.integers(labels, size=rows)
    dense = (random.normal(size=(labels, 10))[codes] + random.normal(size=(rows, 10))).astype(
        np.float32
    )
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)  # rows of unit length, as embeddings have
    ngrams = sparse.random(rows, 40, density=0.1, format="csr", random_state=5, dtype=np.float32)
    return {
        "dense": np.hstack([dense, np.ones((rows, 1), np.float32)]),
        "ngrams": ngrams,
        "codes": codes,
        "costs": random.uniform(0.05, 0.2, rows),
    }


def test_it_finds_the_weights_that_liblinear_finds() -> None:
    given = problem()
    machine = DualSvm(**given, labels=4, seed=7)
    dense, ngrams = machine.train(np.ones(200, bool), epochs=400, averaged=1)
    whole = np.hstack([given["dense"], given["ngrams"].toarray()])
    theirs = LinearSVC(C=1, fit_intercept=False, tol=1e-8, max_iter=100_000).fit(
        whole, given["codes"], sample_weight=given["costs"]
    )
    assert np.allclose(np.vstack([dense, ngrams]).T, theirs.coef_, atol=2e-3)


def test_the_weights_are_what_the_rows_have_taught() -> None:
    given = problem(rows=700)  # more than one block
    machine = DualSvm(**given, labels=4, seed=7)
    machine.train(np.arange(700) < 650, epochs=2, averaged=1)
    assert np.allclose(machine.weights, given["dense"].T @ machine.alphas, atol=1e-4)
    assert np.allclose(machine.ngram_weights, given["ngrams"].T @ machine.alphas, atol=1e-4)
    assert not machine.alphas[650:].any()


def test_training_goes_on_where_it_stopped() -> None:
    given = problem()
    every = np.ones(200, bool)
    machine = DualSvm(**given, labels=4, seed=7)
    machine.train(every & (np.arange(200) < 120), epochs=50, averaged=1)
    later = machine.train(every, epochs=300, averaged=1)
    fresh = DualSvm(**given, labels=4, seed=8).train(every, epochs=400, averaged=1)
    assert np.allclose(later[0], fresh[0], atol=2e-3)


def test_the_mean_lies_between_the_epochs() -> None:
    given = problem()
    every = np.ones(200, bool)
    first = DualSvm(**given, labels=4, seed=7).train(every, epochs=1, averaged=1)[0]
    second = DualSvm(**given, labels=4, seed=7).train(every, epochs=2, averaged=1)[0]
    mean = DualSvm(**given, labels=4, seed=7).train(every, epochs=2, averaged=2)[0]
    assert np.allclose(mean, (first + second) / 2, atol=1e-6)
    assert not np.allclose(first, second)


def test_the_seed_alone_decides() -> None:
    given = problem()
    every = np.ones(200, bool)
    first, again, other = (
        DualSvm(**given, labels=4, seed=seed).train(every, epochs=2, averaged=1)[0]
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)

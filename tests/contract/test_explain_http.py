"""`POST /v1/{classifier}/explain`: what it says, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import cast

import msgspec
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from bentos.answering import explaining
from bentos.answering.answers import PhraseRequest
from bentos.embedder.contract import Embedded
from bentos.heads.memories import NewMemory
from bentos.http.app import ClassifierApp
from bentos.http.explain import ExplanationResponse
from bentos.http.schemas import ErrorResponse
from bentos.keys import Keys, new_key
from core.errors import Overloaded
from pipelines.model.memory import changed_hashes
from pipelines.model.training_phrases import (
    PHRASES_FILE,
    choose_training_phrases,
    save_training_phrases,
)
from tests.contract.test_http import BAD, error_of
from tests.support.embedders import vector_of
from tests.support.heads import LABELS, canary, champion, store_head
from tests.support.pins import pin_of
from tests.support.request_paths import Bench
from tests.support.training import training_rows
from tests.unit.test_live_memories import memory_of

PHRASE = "broken heart valve"


@pytest.fixture
def client(bench: Bench) -> Iterator[TestClient]:
    app = ClassifierApp()
    app.state.app_state = bench.parts()
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def explained(client: TestClient, phrase: str = PHRASE, query: str = "") -> ExplanationResponse:
    response = client.post(f"/v1/organ/explain{query}", json={"phrase": phrase})
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=ExplanationResponse)


def test_the_explanation_is_of_the_answer_and_is_not_an_answer(
    client: TestClient, bench: Bench
) -> None:
    [answer] = bench.answer(PHRASE)
    counted = dict(bench.answers.counts.answered)
    given = explained(client)
    assert (given.classifier, given.version, given.role) == ("organ", "1", "champion")
    assert (given.label, given.probability) == (answer.label, pytest.approx(answer.probability))
    assert [step.by for step in given.steps] == ["head"]
    assert " ".join(word.word for word in given.words) == given.phrase == PHRASE
    lead = given.base[0] - given.base[1] + sum(word.label - word.runner_up for word in given.words)
    odds = np.log(answer.probability / answer.alternatives[0].probability)
    assert lead == pytest.approx(odds, abs=1e-3)
    assert len(bench.logged()) == 1
    assert dict(bench.answers.counts.answered) == counted


def test_embeddings_are_those_of_the_cache(client: TestClient, bench: Bench) -> None:
    bench.answer(PHRASE)
    explained(client)
    stats = bench.embedder.stats()
    assert stats is not None and stats.size == 1, "only the phrase that was asked is in the cache"
    explained(client)
    computed = [text for batch in bench.embedder.batches for text in batch]
    assert computed.count(PHRASE) == 2, "one predict, one explanation; the second is held here"
    assert set(computed) == {
        PHRASE,
        "",
        *PHRASE.split(),
        "heart valve",
        "broken valve",
        "broken heart",
    }


def test_long_phrases_reach_the_embedder_in_small_calls(client: TestClient, bench: Bench) -> None:
    explained(client, " ".join(f"word{number}" for number in range(60)))
    assert max(map(len, bench.embedder.batches)) == explaining.CHUNK


def test_labels_of_the_phrase_itself_and_a_pin_are_steps_of_their_own(
    client: TestClient, bench: Bench
) -> None:
    head = explained(client).steps[0].label
    other = next(label for label in LABELS if label != head)
    memory = memory_of(3, **{PHRASE: other})
    bench.answers.swap_memory(NewMemory(memory, frozenset(changed_hashes(None, memory))))
    given = explained(client)
    assert [(step.by, step.label) for step in given.steps] == [("head", head), ("memory", other)]
    assert (given.revision, given.label, given.probability) == (
        3,
        other,
        bench.answer(PHRASE)[0].probability,
    )
    bench.answers.swap_pins([pin_of(PHRASE, head)])
    given = explained(client)
    assert [(step.by, step.label) for step in given.steps][2:] == [("pin", head)]
    assert (given.label, given.probability) == (head, 1.0)
    assert [step.by for step in explained(client, query="?version=1").steps] == ["head", "memory"]


def test_the_nearest_training_phrases_are_those_of_the_version(
    client: TestClient, bench: Bench
) -> None:
    assert explained(client).nearest is None, "a version made before keeps none"
    rows = training_rows()
    vectors = np.stack([vector_of(phrase) for phrase in rows.cleaned])
    phrases = choose_training_phrases(
        type(rows)(rows.cleaned, rows.labels, rows.weights, vectors, rows.validation)
    )
    model = bench.promote("organ", "2")
    save_training_phrases(phrases, bench.home / "models" / "organ" / model.version)
    known = str(rows.cleaned[7])
    nearest = explained(client, known).nearest
    assert nearest is not None and len(nearest) == 5
    assert known not in {near.phrase for near in nearest}
    (bench.home / "models" / "organ" / "1" / PHRASES_FILE).write_bytes(b"damaged")
    assert explained(client, query="?version=1").nearest is None


def test_the_rollout_chooses_as_for_a_predict(client: TestClient, bench: Bench) -> None:
    first, second = (store_head(bench.home, "organ", version) for version in "12")
    bench.roll_out(champion(first), canary=canary(second, 0.5))
    for key in map(str, range(8)):
        body = {"phrase": PHRASE, "key": key}
        predicted = client.post("/v1/organ/predict", json=body).json()
        given = client.post("/v1/organ/explain", json=body).json()
        for name in ("version", "role", "label"):
            assert given[name] == predicted[name]


@pytest.mark.parametrize("name", sorted(set(BAD) - {"no time zone"}))
def test_bad_input_is_refused_as_by_predict(client: TestClient, name: str) -> None:
    body, status, field = BAD[name]
    response = client.post("/v1/organ/explain", content=body)
    assert (response.status_code, error_of(response).field) == (status, field)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/liver/explain", 404, "unknown_classifier"),
        ("/v1/organ/explain?version=9", 404, "unknown_version"),
        ("/v1/organ/explain?version=8", 409, "head_refused"),
        ("/v1/organ/explain?version=x", 422, "invalid_field"),
    ],
)
def test_what_cannot_be_explained_is_named(
    client: TestClient, bench: Bench, path: str, status: int, code: str
) -> None:
    store_head(bench.home, "organ", "8", embedder_id="other")
    response = client.post(path, json={"phrase": PHRASE})
    assert (response.status_code, error_of(response).code) == (status, code)
    operation = client.get("/v1/openapi.json").json()["paths"]["/v1/{classifier}/explain"]["post"]
    assert str(status) in operation["responses"]


def test_without_key_or_embedder(client: TestClient, bench: Bench) -> None:
    bench.embedder.down = True
    response = client.post("/v1/organ/explain", json={"phrase": PHRASE})
    assert (response.status_code, error_of(response).code) == (503, "embedder_unavailable")
    _, hashed = new_key()
    (bench.home / "keys").write_text(hashed)
    cast(Starlette, client.app).state.app_state.keys = Keys(bench.home / "keys")
    response = client.post("/v1/organ/explain", json={"phrase": PHRASE})
    assert (response.status_code, error_of(response).code) == (401, "unauthorized")


def test_explanations_wait_for_one_another_and_too_many_are_refused(bench: Bench) -> None:
    """At most one is computed at any time, so that predicts find the embedder free."""
    running = 0
    most = 0
    embed = bench.embedder.embed

    async def slow(cleaned: Sequence[str], *, keep: bool = True) -> AsyncGenerator[Embedded, None]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        async for part in embed(cleaned, keep=keep):
            yield part
        running -= 1

    bench.embedder.embed = slow  # type: ignore[method-assign]

    async def ask_at_once() -> list[object]:
        explainer = bench.explainer()
        calls = [
            explainer.explain("organ", PhraseRequest(f"phrase {number}"))
            for number in range(explaining.MAX_WAITING + 2)
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(ask_at_once())
    refused = [answer for answer in answers if isinstance(answer, Overloaded)]
    assert (len(refused), len(answers) - len(refused), most) == (2, explaining.MAX_WAITING, 1)


def test_a_refusal_has_the_error_schema(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "MAX_WAITING", 0)
    response = client.post("/v1/organ/explain", json={"phrase": PHRASE})
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert msgspec.json.decode(response.content, type=ErrorResponse).code == "overloaded"

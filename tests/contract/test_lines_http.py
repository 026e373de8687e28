"""Questions with one line of versions per region, over HTTP, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bentos.heads.loading import LiveModel
from bentos.http.app import ClassifierApp
from bentos.keys import Keys, new_key
from core.contracts import RETIRED
from pipelines.model.head_file import Line
from tests.support.heads import store_head
from tests.support.request_paths import Bench

REGIONS = {"north": "1", "south": "2"}
"""Region -> the version of its line; the heads of both answer differently."""
PHRASES = [f"phrase {number}" for number in range(40)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    for region, version in REGIONS.items():
        bench.promote(f"organ_{region}", version, line=Line("organ", "region", region))
    bench.promote("other", "1")
    yield bench
    bench.journal.close()


@pytest.fixture
def client(bench: Bench) -> Iterator[TestClient]:
    app = ClassifierApp()
    app.state.app_state = bench.parts()
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def live(bench: Bench, region: str) -> LiveModel:
    return bench.heads.current[f"organ_{region}"].champion


@pytest.mark.parametrize("region", REGIONS)
def test_region_and_route_choose_the_same_line_and_the_log_names_it(
    client: TestClient, bench: Bench, region: str
) -> None:
    by_region = client.post("/v1/organ/predict", json={"phrase": "a", "region": region}).json()
    by_route = client.post(f"/v1/organ_{region}/predict", json={"phrase": "a"}).json()
    for answer in (by_region, by_route):
        assert (answer["classifier"], answer["version"]) == (f"organ_{region}", REGIONS[region])
    assert by_region["label"] == by_route["label"]
    assert by_route["cached"], "both routes lead to one line and one cached answer"
    logged = [(row["classifier"], row["region"]) for row in bench.logged()]
    assert logged == [(f"organ_{region}", region), (f"organ_{region}", None)]


def test_cached_answers_of_two_lines_never_mix(client: TestClient) -> None:
    answers: dict[str, list[str]] = {}
    for _ in range(2):  # the second time from the cache
        for region in REGIONS:
            body = {"phrases": PHRASES, "regions": [region] * len(PHRASES)}
            found = client.post("/v1/organ/predict_batch", json=body).json()["predictions"]
            labels = [answer["label"] for answer in found]
            assert answers.setdefault(region, labels) == labels
    assert all(answer["cached"] for answer in found)
    assert answers["north"] != answers["south"]


def test_a_batch_of_several_regions_keeps_its_order(client: TestClient) -> None:
    regions = [list(REGIONS)[place % 3 % 2] for place in range(len(PHRASES))]
    found = client.post(
        "/v1/organ/predict_batch", json={"phrases": PHRASES, "regions": regions}
    ).json()["predictions"]
    assert [answer["classifier"] for answer in found] == [f"organ_{region}" for region in regions]
    alone = [
        client.post("/v1/organ/predict", json={"phrase": phrase, "region": region}).json()["label"]
        for phrase, region in zip(PHRASES, regions, strict=True)
    ]
    assert [answer["label"] for answer in found] == alone


def test_a_region_without_a_line_is_refused_with_the_regions_that_have_one(
    client: TestClient, bench: Bench
) -> None:
    for body, shown in (({}, "none"), ({"region": "west"}, "'west'"), ({"region": ""}, "none")):
        refused = client.post("/v1/organ/predict", json={"phrase": "a", **body})
        assert refused.status_code == 422
        assert (refused.json()["code"], refused.json()["field"]) == ("invalid_field", "region")
        assert f"north, south; got {shown}" in refused.json()["message"]
    batch = {"phrases": ["a", "b"], "regions": ["north", "west"]}
    refused = client.post("/v1/organ/predict_batch", json=batch)
    assert (refused.status_code, refused.json()["field"]) == (422, "regions[1]")
    blank = client.post(
        "/v1/organ/predict_batch", json={"phrases": ["a", " "], "regions": ["north", "south"]}
    )
    assert (blank.status_code, blank.json()["field"]) == (422, "phrases[1]")
    assert bench.logged() == [], "a refused batch leaves no answer behind"


def test_a_version_belongs_to_its_line(client: TestClient, bench: Bench) -> None:
    store_head(bench.home, "organ_north", "7", line=Line("organ", "region", "north"))
    body = {"phrase": "a", "region": "north"}
    assert client.post("/v1/organ/predict?version=7", json=body).json()["version"] == "7"
    refused = client.post("/v1/organ/predict?version=7", json={**body, "region": "south"})
    assert refused.status_code == 404 and "of organ_south" in refused.json()["message"]


def test_explain_and_feedback_go_to_the_same_line(client: TestClient, bench: Bench) -> None:
    body = {"phrase": "a", "region": "south"}
    explained = client.post("/v1/organ/explain", json=body).json()
    answered = client.post("/v1/organ/predict", json=body).json()
    assert (explained["classifier"], explained["label"]) == ("organ_south", answered["label"])
    assert client.post("/v1/organ/explain", json={"phrase": "a"}).status_code == 422

    label = {"label": "heart", "classifier": "organ", "phrase": "a", "region": "south"}
    assert client.post("/v1/feedback", json=label).status_code == 202
    files = list((bench.home / "journal").rglob("*"))
    written = b"".join(file.read_bytes() for file in files if file.is_file())
    assert b"organ_south" in written
    refused = client.post("/v1/feedback", json={**label, "region": "west"})
    assert (refused.status_code, refused.json()["field"]) == (422, "region")


def test_the_region_of_an_api_key_chooses_where_the_request_names_none(
    client: TestClient, bench: Bench
) -> None:
    key, hashed = new_key()
    file = bench.home / "keys"
    file.write_text(f"{hashed} clinic region=south\n")
    client.app.state.app_state.keys = Keys(file)  # type: ignore[attr-defined]
    headers = {"authorization": f"Bearer {key}"}

    def answered(**body: str) -> str:
        answer = client.post("/v1/organ/predict", json={"phrase": "a", **body}, headers=headers)
        return str(answer.json()["classifier"])

    assert answered() == "organ_south"
    assert answered(region="north") == "organ_north"
    assert [row["region"] for row in bench.logged()] == ["south", "north"]
    other = client.post("/v1/other/predict", json={"phrase": "a"}, headers=headers)
    assert other.json()["classifier"] == "other" and bench.logged()[-1]["region"] is None


def test_the_list_of_classifiers_names_the_lines(client: TestClient) -> None:
    listed = {row["classifier"]: row for row in client.get("/v1/classifiers").json()["classifiers"]}
    assert listed["organ_north"]["line"] == {"of": "organ", "by": "region", "value": "north"}
    assert "line" not in listed["other"]


def test_the_classifier_from_before_answers_what_no_line_covers_until_it_retires(
    client: TestClient, bench: Bench
) -> None:
    bench.promote("organ", "3")

    def asked(region: str) -> tuple[int, str]:
        answer = client.post("/v1/organ/predict", json={"phrase": "a", "region": region})
        return answer.status_code, answer.json().get("classifier", "")

    assert asked("west") == (200, "organ")
    assert asked("south") == (200, "organ_south")
    bench.heads.refresh(lambda: {"organ": RETIRED})
    assert asked("west") == (422, "")
    bench.heads.refresh(lambda: {"organ_south": RETIRED})
    assert asked("south") == (422, "") and asked("north") == (200, "organ_north")

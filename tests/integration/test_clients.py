"""Stock HTTP clients of other languages against the real service, each with its defaults."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
import requests

from tests.support.services import House

pytestmark = pytest.mark.slow

JAVA = """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Client {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .header("content-type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(arguments[1])).build();
        for (int time = 0; time < 2; time++)
            System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
"""
GO = """
package main

import ("io"; "net/http"; "os"; "strings")

func main() {
    for time := 0; time < 2; time++ {
        answer, err := http.Post(os.Args[1], "application/json", strings.NewReader(os.Args[2]))
        if err != nil { panic(err) }
        body, _ := io.ReadAll(answer.Body)
        os.Stdout.Write(append(body, '\\n'))
    }
}
"""
NODE = """
const [url, body] = process.argv.slice(1);
const headers = {"content-type": "application/json"};
for (let time = 0; time < 2; time++)
    console.log(await (await fetch(url, {method: "POST", headers, body})).text());
"""
CURL = ("-s", "-H", "content-type: application/json", "-w", "\\n")


def answers_of(program: str, *arguments: str) -> list[dict]:
    """Run a client that prints one answer per line; skip without its runtime."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} on this machine")
    result = subprocess.run([found, *arguments], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines() if line]


def check(house: House, answers: Sequence[dict], *, phrase: str) -> None:
    """Every answer is one of ours, and the service logged the phrase that was sent."""
    assert answers
    assert {answer["classifier"] for answer in answers} == {"organ"}
    house.settled_ids()
    logged = {row.request_id: row.phrase for row in house.logged()}
    assert {logged[answer["request_id"]] for answer in answers} == {phrase}


def test_java(house: House, tmp_path: Path) -> None:
    (tmp_path / "Client.java").write_text(JAVA)
    source = str(tmp_path / "Client.java")
    answers = answers_of("java", source, *asked(house, "heart by Java"))
    check(house, answers, phrase="heart by Java")
    assert len(answers) == 2


def test_go(house: House, tmp_path: Path) -> None:
    (tmp_path / "client.go").write_text(GO)
    source = str(tmp_path / "client.go")
    answers = answers_of("go", "run", source, *asked(house, "heart by Go"))
    check(house, answers, phrase="heart by Go")


def test_node(house: House) -> None:
    options = ("--input-type=module", "-e", NODE, "--")
    answers = answers_of("node", *options, *asked(house, "heart by Node"))
    check(house, answers, phrase="heart by Node")


@pytest.mark.parametrize("protocol", ["--http1.0", "--http1.1", "--http2"])
def test_curl(house: House, protocol: str) -> None:
    url, body = asked(house, f"heart by curl {protocol}")
    answers = answers_of("curl", *CURL, protocol, "-d", body, url)
    check(house, answers, phrase=f"heart by curl {protocol}")


def test_httpx(house: House) -> None:
    url, _ = asked(house, "")
    with httpx.Client() as client:
        answers = [client.post(url, json={"phrase": "heart by httpx"}).json() for _ in range(2)]
    check(house, answers, phrase="heart by httpx")


def test_requests(house: House) -> None:
    url, _ = asked(house, "")
    with requests.Session() as session:
        answers = [session.post(url, json={"phrase": "heart by requests"}).json() for _ in range(2)]
    check(house, answers, phrase="heart by requests")


def asked(house: House, phrase: str) -> tuple[str, str]:
    return f"{house.url}/v1/organ/predict", json.dumps({"phrase": phrase})

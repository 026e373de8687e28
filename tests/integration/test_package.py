from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bentos.keys import new_key
from bentos.packaging.cold_heads import read_cold_heads
from bentos.packaging.current_code import holds_current_code
from bentos.packaging.package import CODE, SERVING_LOCKS, build_bento, serve_command
from core.errors import HeadRefused, KeysUnusable
from core.settings import load_settings
from pipelines.model.abstention import Abstention, load_abstention, save_abstention
from tests.support.heads import EMBEDDER_ID, store_head
from tests.support.locks import read_lock

RULE = Abstention(threshold=0.5, novelty_limit=0.4, novelty_weight=10.0)
FORBIDDEN = ("prefect", "dvc", "mlflow", "great_expectations", "evidently")
ENDED = (*FORBIDDEN, "tensorflow", "pandas")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedder")
    (folder / "model.tflite").write_bytes(b"graph")
    (folder / "sp.model").write_bytes(b"pieces")
    (folder / "embedder.json").write_text(
        json.dumps({"embedder_id": EMBEDDER_ID, "runtime": "litert"})
    )
    return folder


@pytest.fixture(scope="module")
def bento(embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    heads = {
        name: store_head(home, name, version)
        for name, version in (("organ", "1"), ("chapter", "2"))
    }
    save_abstention(RULE, Path(heads["organ"].head_location))
    tag = build_bento(
        heads,
        embedder=embedder,
        staging=home / "staging",
        bento_store=home / "bentoml",
        version="20260101-a",
    )
    assert tag == "perennial:20260101-a"
    return home / "bentoml" / "bentos" / "perennial" / "20260101-a"


def test_the_bento_holds_what_serves_and_nothing_else(bento: Path) -> None:
    source = bento / "src"
    assert {path.name for path in source.iterdir() if path.is_dir()} == {
        "core",
        "pipelines",
        "bentos",
        "cold",
    }
    assert {path.name for path in (source / "pipelines").iterdir()} == {"__init__.py", "model"}
    packed = {path.name: path.stat().st_size for path in (source / "cold" / "embedder").iterdir()}
    assert (packed.pop("model.tflite"), packed.pop("sp.model"), [*packed]) == (
        5,
        6,
        ["embedder.json"],
    )
    assert not list(source.rglob("__pycache__"))


def test_the_packed_heads_are_found_beside_the_code(bento: Path) -> None:
    packed = {model.classifier: model for model in read_cold_heads(bento / "src" / "cold")}
    assert {name: model.version for name, model in packed.items()} == {"organ": "1", "chapter": "2"}
    assert all((Path(model.head_location) / "head.npz").exists() for model in packed.values())


def test_a_rule_of_abstention_is_packed_beside_its_head(bento: Path) -> None:
    packed = {model.classifier: model for model in read_cold_heads(bento / "src" / "cold")}
    rules = {name: load_abstention(Path(model.head_location)) for name, model in packed.items()}
    assert rules == {"organ": RULE, "chapter": None}


def test_the_requirements_are_the_serving_profile_of_the_lock(bento: Path) -> None:
    info = yaml.safe_load((bento / "bento.yaml").read_text())
    assert info["version"] == "20260101-a"
    pins = read_lock(bento / "env" / "python" / "requirements.txt")
    assert [pin for pin in pins if pin.hashes] == read_lock(SERVING_LOCKS["litert"])
    assert [pin.name for pin in pins if not pin.hashes] == ["bentoml"], (
        "BentoML names its own version once more"
    )


def test_the_packed_service_imports_without_the_workshop(bento: Path) -> None:
    program = "import sys; import bentos.service as service; print(service.__file__); "
    program += f"print([name for name in {ENDED!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=bento / "src",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:2] == [str(bento / "src" / "bentos" / "service.py"), "[]"]


def test_a_bento_is_out_of_date_after_a_change_of_code_or_dependencies(
    bento: Path, tmp_path: Path
) -> None:
    assert holds_current_code(bento)
    upgraded = tmp_path / "repository"
    for part in CODE:
        source = bento / "src" / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        (upgraded / part).parent.mkdir(parents=True, exist_ok=True)
        copy(source, upgraded / part)
    assert holds_current_code(bento, repository=upgraded)
    (upgraded / "bentos" / "new.py").write_text("")
    assert not holds_current_code(bento, repository=upgraded)
    other = tmp_path / "other"
    shutil.copytree(bento, other)
    (other / "src" / "requirements.txt").write_text("numpy==1.0\n")
    assert not holds_current_code(other)


def test_a_corrupt_head_is_not_packed(embedder: Path, tmp_path: Path) -> None:
    model = store_head(tmp_path, "organ", "1")
    (Path(model.head_location) / "head.npz").write_bytes(b"rubbish")
    with pytest.raises(HeadRefused):
        build_bento(
            {"organ": model},
            embedder=embedder,
            staging=tmp_path / "staging",
            bento_store=tmp_path / "bentoml",
            version="1",
        )


def test_the_newest_bento_is_named_by_its_version(bento: Path) -> None:
    settings = load_settings(home=bento.parents[3])
    command = serve_command(
        "perennial:latest", settings=settings, database_url="postgresql://db/perennial"
    )
    assert "perennial:20260101-a" in command.argv


def test_the_command_keeps_the_secret_out_of_the_arguments(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, service_port=3456)
    command = serve_command(
        "perennial:latest", settings=settings, database_url="postgresql://me:secret@db/perennial"
    )
    assert "secret" not in " ".join(command.argv)
    assert command.environment["PERENNIAL_DATABASE_URL"].count("secret") == 1
    assert command.argv[command.argv.index("--port") + 1] == "3456"
    assert command.argv[command.argv.index("--host") + 1] == "127.0.0.1"


def test_an_address_beyond_loopback_is_refused_without_api_keys(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, host="0.0.0.0")
    with pytest.raises(KeysUnusable, match="PERENNIAL_API_KEYS_FILE"):
        serve_command("perennial:1", settings=settings, database_url="postgresql://")
    (tmp_path / "keys").write_text(new_key()[1])
    guarded = load_settings(home=tmp_path, host="0.0.0.0", api_keys_file=tmp_path / "keys")
    command = serve_command("perennial:1", settings=guarded, database_url="postgresql://")
    assert command.environment["PERENNIAL_API_KEYS_FILE"] == str(tmp_path / "keys")

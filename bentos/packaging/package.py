"""A bento of the code that serves, the embedder and the heads; and the command that runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from bentos.heads.pins import PINS, encode_pins
from bentos.keys import require_keys_beyond_loopback
from bentos.packaging.cold_heads import write_cold_heads
from bentos.vendor_patches.bentoml_serve import FURTHER
from core.contracts import ModelVersion
from core.errors import ProcessFailed
from core.inherited_environment import inherited
from core.pins import NO_PINS, KnownPins
from core.settings import REPOSITORY, Settings, settings_environment
from core.source_addresses import SOURCE_VARIABLE
from pipelines.model.abstention import save_abstention
from pipelines.model.digests import write_abstention_digest
from pipelines.model.embedder import read_embedder
from pipelines.model.head_file import load_checked
from pipelines.model.registered_rule import abstention_digest, load_promised

NAME = "perennial"
SERVICE = "bentos.service:Classifier"
CODE = ("core", "pipelines/__init__.py", "pipelines/model", "bentos")
SERVING_LOCKS = {  # a profile of the lock for each runtime of the embedder
    "litert": REPOSITORY / "requirements" / "serving.lock",
    "tensorflow": REPOSITORY / "requirements" / "serving-tensorflow.lock",
}
LAUNCH = str(REPOSITORY / "bentos" / "vendor_patches" / "bentoml_serve.py")
DRAIN_SECONDS = 10

# Settings that the service does not get. It reads neither the source nor the databases of Prefect
# and MLflow, and it answers strangers: a secret that it does not hold cannot leak from it.
WITHHELD = ("source_url", "sources", "prefect_database_url", "mlflow_database_url", "notify")
LIBRARIES = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",  # saves 20 to 35 of 770 MB for 21 classifiers with full caches
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


@dataclass(frozen=True)
class ServeCommand:
    """What to run, and the variables to add to the environment; only these hold secrets."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]

    def child_environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the inherited variables but the withheld ones, and those of the command."""
        withheld = {f"PERENNIAL_{name.upper()}" for name in WITHHELD}
        kept = {
            name: value
            for name, value in inherited.items()
            if name not in withheld and not SOURCE_VARIABLE.match(name)
        }
        return {**kept, **self.environment}


def build_bento(
    heads: Mapping[str, ModelVersion],
    *,
    embedder: Path,
    staging: Path,
    bento_store: Path,
    version: str,
    group: int = 1,
    pins: KnownPins = NO_PINS,
) -> str:
    """Build a bento offline and return its tag.

    The tag is `perennial:<version>`, or `perennial-2:<version>` for the second group. `embedder`
    holds the model of one runtime and `embedder.json`; `bento_store` is a BENTOML_HOME; `staging`
    gets a folder for the version, removed after the build; `pins` are those of now. The build runs
    in a process of its own, in that folder, so that it imports the code that it packs. Raises
    `HeadRefused` for a corrupt head, `ProcessFailed` when BentoML refuses.
    """
    name = bento_name(group)
    folder = staging / version
    shutil.rmtree(folder, ignore_errors=True)
    _stage_code(folder)
    _stage_cold(folder / "cold", heads, embedder=embedder)
    (folder / "cold" / PINS).write_bytes(encode_pins(pins))
    _write_bentofile(folder, name=name, runtime=read_embedder(embedder)["runtime"])
    _run_build(folder, bento_store, tag=f"{name}:{version}")
    shutil.rmtree(folder)
    return f"{name}:{version}"


def bento_name(group: int) -> str:
    """The name of a group's bento; groups are numbered from 1."""
    return NAME if group == 1 else f"{NAME}-{group}"


def serve_command(tag: str, *, settings: Settings, database_url: str) -> ServeCommand:
    """Return how to serve a bento at the host and port of the settings.

    The tag `perennial:latest` is the newest bento built. Further groups are served on the next
    ports. A group without a bento of that version runs from this one, and takes its heads from
    `deployment`. Raises `KeysUnusable` for an address beyond loopback without API keys.
    """
    require_keys_beyond_loopback(settings.host, settings.api_keys_file)
    bento_store = settings.home.absolute() / "bentoml"
    resolved = _resolve(tag, bento_store)
    options = {
        "--host": settings.host,
        "--port": str(settings.service_port),
        "--timeout-graceful-shutdown": str(DRAIN_SECONDS),
    }
    words = [word for option in options.items() for word in option]
    return ServeCommand(
        (sys.executable, LAUNCH, "serve", resolved, *words),
        _bentoml_environment(bento_store)
        | _service_settings(settings, database_url)
        | {FURTHER: _further_tags(resolved, settings, bento_store)}
        | LIBRARIES,
    )


def _service_settings(settings: Settings, database_url: str) -> dict[str, str]:
    return settings_environment(
        settings,
        without=WITHHELD,
        database_url=database_url,
        home=settings.home.absolute(),
        bento=1,
    )


def _further_tags(tag: str, settings: Settings, bento_store: Path) -> str:
    """Return the bentos of the groups after the first, separated by spaces."""
    return " ".join(_further(tag, group.number, bento_store) for group in settings.groups[1:])


def _resolve(tag: str, bento_store: Path) -> str:
    """Name the version behind `latest`; a worker that restarts must not get a newer bento."""
    name, _, version = tag.partition(":")
    latest = bento_store / "bentos" / name / "latest"
    if version == "latest" and latest.exists():
        return f"{name}:{latest.read_text().strip()}"
    return tag


def _further(tag: str, group: int, bento_store: Path) -> str:
    name = bento_name(group)
    version = tag.partition(":")[2]
    return f"{name}:{version}" if (bento_store / "bentos" / name / version).exists() else tag


def _stage_code(staging: Path) -> None:
    for part in CODE:
        source = REPOSITORY / part
        target = staging / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def _stage_cold(cold: Path, heads: Mapping[str, ModelVersion], *, embedder: Path) -> None:
    shutil.copytree(embedder, cold / "embedder")
    packed = []
    for name, model in heads.items():
        location = Path(model.head_location)
        load_checked(location, digest=model.head_digest)
        (cold / "heads" / name).mkdir(parents=True)
        for file in ("head.npz", "head.json"):
            shutil.copy(location / file, cold / "heads" / name / file)
        save_abstention(load_promised(location), cold / "heads" / name)
        write_abstention_digest(cold / "heads" / name, abstention_digest(cold / "heads" / name))
        packed.append(
            ModelVersion(name, model.version, f"heads/{name}", model.head_digest, model.embedder_id)
        )
    write_cold_heads(cold, packed)


def _write_bentofile(staging: Path, *, name: str, runtime: str) -> None:
    shutil.copy(SERVING_LOCKS[runtime], staging / "requirements.txt")
    python = {"requirements_txt": "./requirements.txt", "lock_packages": False}
    (staging / "bentofile.yaml").write_text(
        yaml.safe_dump({"service": SERVICE, "name": name, "include": ["*"], "python": python})
    )


def _run_build(staging: Path, bento_store: Path, *, tag: str) -> None:
    bento_store.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "bentoml", "build", "--version", tag.partition(":")[2], "."]
    kept = inherited(os.environ, credentials=False)
    environment = {**kept, **_bentoml_environment(bento_store)}
    done = subprocess.run(
        argv, cwd=staging, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last_line = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no output"]
        raise ProcessFailed(
            f"a bento {tag}", came=last_line[0], do=f"run `{' '.join(argv[1:])}` in {staging}"
        )


def _bentoml_environment(home: Path) -> dict[str, str]:
    return {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}

"""Searches in real processes on studies in PostgreSQL: shared, killed, resumed, repeated."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import yaml
from optuna.trial import TrialState

from core.database import DatabaseUrls, connect
from core.params.schema import Params
from core.params.tune import TuneParams
from flows.context import LoopContext
from flows.run import Run
from flows.tuning import tune_heads, tuning_folder
from pipelines.tuning.outcome import read_search
from pipelines.tuning.study import (
    SCHEMA,
    count_trials,
    create_schema,
    open_storage,
    open_study,
)
from pipelines.workspace import Workspace
from tests.support.places import own_place
from tests.support.processes import wait_for
from tests.support.repositories import ROOT
from tests.support.tunings import finish, proposals, start, write_problem

PRESENT = {"C": 1.0, "ngram_weight": 0.7}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_problem(tmp_path_factory.mktemp("search"))


@pytest.fixture
def url(database: DatabaseUrls) -> Iterator[str]:
    """Of the database, with Optuna's schema, which is empty again at the end."""
    create_schema(database.perennial)
    yield database.perennial
    engine = connect(database.perennial)
    with engine.begin() as connection:
        connection.execute(sa.text(f"drop schema {SCHEMA} cascade"))
    engine.dispose()


@pytest.fixture
def storage(url: str) -> Iterator[optuna.storages.RDBStorage]:
    with open_storage(url) as storage:
        yield storage


def begin(storage: optuna.storages.RDBStorage, name: str) -> optuna.Study:
    study = open_study(storage, name, seed=7)
    study.enqueue_trial(PRESENT)
    return study


def test_optuna_has_a_schema_of_its_own(url: str) -> None:
    create_schema(url)  # a second time
    engine = connect(url)
    tables = sa.inspect(engine)
    assert "trials" in tables.get_table_names(schema=SCHEMA)
    assert "trials" not in tables.get_table_names(schema="public")
    engine.dispose()


def test_one_process_repeats_its_trials(
    folder: Path, url: str, storage: optuna.storages.RDBStorage
) -> None:
    studies = [begin(storage, name) for name in ("first", "second")]
    for study in studies:
        finish(start(folder, url, "try", study.study_name, "--seconds", "60", "--trials", "10"))
    assert count_trials(studies[0]) == 10
    assert proposals(studies[0]) == proposals(studies[1])
    assert studies[0].trials[0].params == PRESENT


def test_two_processes_share_a_study(
    folder: Path, url: str, storage: optuna.storages.RDBStorage
) -> None:
    study = begin(storage, "shared")
    options = ("--seconds", "60", "--trials", "12")
    both = [start(folder, url, "try", "shared", *options) for _ in range(2)]
    logged = [process.communicate(timeout=400)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], logged
    assert all('"event": "trial"' in text for text in logged), "one process made every trial"
    settings = [tuple(trial.params.values()) for trial in study.trials]
    assert 12 <= count_trials(study) <= 13  # both may end one at the limit
    assert len(set(settings)) == len(settings)


def test_a_killed_search_goes_on(
    tmp_path: Path, url: str, storage: optuna.storages.RDBStorage
) -> None:
    """The trials are kept; those that follow are new."""
    folder = write_problem(tmp_path, copies=2)
    study = begin(storage, "killed")
    process = start(folder, url, "try", "killed", "--seconds", "600")
    wait_for(lambda: count_trials(study) >= 2, seconds=240, what="two trials")
    wait_for(
        lambda: study.get_trials(deepcopy=False)[-1].state == TrialState.RUNNING,
        seconds=240,
        what="a running trial",
    )
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    ended = count_trials(study)
    kept = proposals(study)[:ended]

    more = str(ended + 3)
    finish(start(folder, url, "try", "killed", "--seconds", "600", "--trials", more))
    assert count_trials(study) == ended + 3
    assert proposals(study)[:ended] == kept
    settings = [tuple(trial.params.values()) for trial in study.trials]
    assert len(set(settings[:ended] + settings[ended + 1 :])) == len(settings) - 1


def test_a_hopeless_present_setting_is_replaced_by_a_proved_gain(
    tmp_path: Path, url: str, storage: optuna.storages.RDBStorage
) -> None:
    poor = {"C": 0.00001, "ngram_weight": 0.7}
    folder = write_problem(tmp_path, head=poor, copies=3)
    study = open_study(storage, "poor", seed=7)
    study.enqueue_trial(poor)
    finish(start(folder, url, "try", "poor", "--seconds", "60", "--trials", "15"))
    finish(start(folder, url, "conclude", "poor", "--to", str(tmp_path / "search.json")))
    search = read_search(json.loads((tmp_path / "search.json").read_text()))
    assert search.present == poor
    assert search.confirmation is not None
    assert 0 < search.confirmation.lower <= search.confirmation.gain <= search.confirmation.upper
    assert search.chosen == search.best
    assert search.best["C"] > poor["C"]


class MadeWorkspace(Workspace):
    """A folder whose stages have run already."""

    def reproduce(self, targets: Sequence[str], *, keep_going: bool = False) -> None:
        """Make nothing."""


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "expected 30 training phrases in each validation slice"),
        ("postgresql://127.0.0.1:9/nowhere", "connection failed"),
    ],
    ids=["too few phrases", "no database"],
)
def test_a_tuning_that_fails_leaves_the_present_settings(
    tmp_path: Path, url: str, address: str, reason: str
) -> None:
    folder = write_problem(tmp_path / "clone")
    for room in ("core", "pipelines"):
        (folder / room).symlink_to(ROOT / room)
    rows = folder / "build/classifiers/organ/split/train.parquet"
    pq.write_table(pq.read_table(rows).slice(0, 40), rows)
    text = (folder / "params.yaml").read_text()
    params = Params.model_validate(yaml.safe_load(text))
    block = params.classifiers["organ"].model_copy(
        update={"tune": TuneParams(when="always", seconds=5)}
    )
    settings = own_place(tmp_path / "home")
    context = LoopContext(
        settings,
        DatabaseUrls(address or url, "", ""),
        connect(url),
        params.model_copy(update={"classifiers": {"organ": block}}),
    )
    run = Run("run-1", datetime(2026, 1, 1, tzinfo=UTC), "manual")
    workspace = MadeWorkspace(folder, "", tmp_path / "cache")
    [tuning] = tune_heads(context, workspace, ["organ"], run)
    context.engine.dispose()
    assert tuning.after == tuning.before == PRESENT
    assert "the present settings stay, because the tuning failed" in tuning.lines[-1]
    assert reason in tuning.lines[-1]
    assert (folder / "params.yaml").read_text() == text
    kept = json.loads((tuning_folder(context, run, "organ") / "tuning.json").read_text())
    assert kept["lines"] == list(tuning.lines)

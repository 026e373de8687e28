"""Studies of Optuna in PostgreSQL: a schema of its own, beside the tables of Alembic.

A study is shared by every process that opens it, and outlives a kill: a trial whose process stops
to report is failed and queued again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from core.database import with_driver
from core.locks import AdvisoryLock

SCHEMA = "optuna"
HEARTBEAT_SECONDS = 5
GRACE_SECONDS = 30
"""A process without a heartbeat for this long is dead; on a busy machine a fit may delay it."""
STARTUP_TRIALS = 8
"""Random trials before the sampler learns; and unpruned ones before the pruner does."""
TRIALS = 100
"""Of one study. More of them choose the noise of the slice."""
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def create_schema(url: str) -> None:
    """Create the schema and Optuna's tables, unless they exist. `url` names the database."""
    engine = sa.create_engine(
        with_driver(url, "psycopg"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with engine.connect() as connection:  # two processes must not create them at once
        connection.execute(sa.select(sa.func.pg_advisory_lock(AdvisoryLock.TUNING.value)))
        connection.execute(sa.text(f"create schema if not exists {SCHEMA}"))
        with open_storage(url):
            pass


@contextmanager
def open_storage(url: str) -> Iterator[optuna.storages.RDBStorage]:
    """Yield Optuna's storage in the schema."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        # Heartbeats are "experimental" since 2020; without them a killed trial runs forever.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.RDBStorage(
            with_driver(url, "psycopg"),
            engine_kwargs={
                "connect_args": {"options": f"-csearch_path={SCHEMA}", "connect_timeout": 10},
                "pool_pre_ping": True,
            },
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
                max_retry=1
            ),
        )
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def open_study(storage: optuna.storages.BaseStorage, name: str, *, seed: int) -> optuna.Study:
    """Create the study, or open it as it was left."""
    return optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize",
        load_if_exists=True,
        sampler=SeededByTrial(seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
    )


def run_trials(
    study: optuna.Study,
    objective: Callable[[optuna.Trial], float],
    *,
    seconds: float,
    trials: int = TRIALS,
    after: Callable[[optuna.Study, FrozenTrial], None],
) -> None:
    """Run trials until the time is over or the study has `trials` that ended."""
    limit = optuna.study.MaxTrialsCallback(trials, states=ENDED)
    if count_trials(study) >= trials:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.optimize(objective, timeout=seconds, callbacks=[after, limit])


def count_trials(study: optuna.Study) -> int:
    """Return how many trials ended."""
    return len(study.get_trials(deepcopy=False, states=ENDED))


class SeededByTrial(BaseSampler):
    """Optuna's TPE with a seed per trial.

    A process that goes on after a kill, or that joins others, would else begin with the same random
    trials again. The trials of one process depend on the seed and on their order alone.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sampler: BaseSampler = TPESampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        earlier = study.get_trials(deepcopy=False)[: trial.number]
        place = sum(other.state != TrialState.FAIL for other in earlier)
        self.sampler = TPESampler(
            seed=self.seed + place,
            n_startup_trials=STARTUP_TRIALS,
            multivariate=True,
            constant_liar=True,  # other processes must not try the same place
        )

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, optuna.distributions.BaseDistribution],
    ) -> dict[str, Any]:
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: optuna.distributions.BaseDistribution,
    ) -> Any:
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)


def set_facts(study: optuna.Study, facts: Mapping[str, Any]) -> None:
    """Store what is known of a study beside its trials."""
    for name, value in facts.items():
        study.set_user_attr(name, value)

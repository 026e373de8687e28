"""Starts a retraining through Prefect's HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from core.settings import Settings
from machine.environment import own_prefect_answers
from machine.local_http import ask

REASON = "review"
"""A person asked: such a retraining does not wait for the cool-down of drift."""


def start_retraining(
    settings: Settings, classifier: str, evidence: Mapping[str, Any], *, key: str
) -> str | None:
    """Start the retraining of a classifier; return the page of its run.

    Requests of the same `key` start one run, and get the same page. None when this home's Prefect
    does not answer, or does not know the classifier: another installation on the port may have
    one of the same name.
    """
    if not own_prefect_answers(settings):
        return None
    api = f"{settings.prefect_url}/api"
    deployment = ask(f"{api}/deployments/name/retrain/{quote(classifier, safe='')}")
    if not deployment:
        return None
    parameters = {"classifiers": [classifier], "reason": REASON, "evidence": dict(evidence)}
    run = ask(
        f"{api}/deployments/{deployment['id']}/create_flow_run",
        body={"parameters": parameters, "idempotency_key": key},
    )
    return f"{settings.prefect_url}/runs/flow-run/{run['id']}" if run else None

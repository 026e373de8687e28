"""The Prefect deployments, one per classifier and flow, and the runner that serves them.

python -m flows.deployments
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from core.params.schema import ClassifierParams, Params, load_params
from core.settings import Settings, load_settings
from flows.events import DRIFT, resource_id
from machine.environment import TAG

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.deployments.runner import RunnerDeployment
    from prefect.events import DeploymentEventTrigger

REMEMBER_CRON = "23 * * * *"
"""Hourly, beside the full hours at which other flows begin."""
PERFORMANCE_CRON = "37 5 * * 1"
"""On Mondays, when the week before is whole."""
RUNS_AT_ONCE = 2  # of all deployments; a retraining uses a core and about 1.5 GB of memory


def list_deployments(
    params: Params,
    *,
    retrain: Flow[..., Any],
    watch: Flow[..., Any],
    remember: Flow[..., Any],
    performance: Flow[..., Any],
    schedules: bool = True,
) -> list[RunnerDeployment]:
    """Return two deployments per classifier; `remember` and `performance` have one for all.

    Without `schedules` they run on events and by hand.
    """
    per_classifier = [
        deployment
        for name, block in params.classifiers.items()
        for deployment in (
            _retrain_deployment(retrain, name, block, schedules=schedules),
            _watch_deployment(watch, name, block, schedules=schedules),
        )
    ]
    return [
        *per_classifier,
        _remember_deployment(remember, schedules=schedules),
        _performance_deployment(performance, schedules=schedules),
    ]


def serve_deployments(deployments: Iterable[RunnerDeployment]) -> None:
    """Register the deployments, delete those of removed classifiers, and run them until SIGTERM."""
    from prefect import serve

    current = list(deployments)
    _delete_others({deployment.full_name for deployment in current})
    serve(*current, limit=RUNS_AT_ONCE, print_starting_message=False)


def _retrain_deployment(
    flow: Flow[..., Any], name: str, block: ClassifierParams, *, schedules: bool
) -> RunnerDeployment:
    """Return the deployment of `retrain` for one classifier.

    A second run waits for the first one to end: its reason may be new, and the cool-down ends it if
    it is not.
    """
    return _deployment(
        flow,
        name,
        cron=block.schedule,
        active=schedules,
        collision="ENQUEUE",
        triggers=[drift_trigger(name)],
        parameters={"classifiers": [name], "reason": "schedule"},
        description=(
            f"Takes a snapshot of the rows of `{name}`, trains a candidate, and compares it with "
            "the champion. Runs on schedule, by hand, and when a watch detects drift. A candidate "
            "that is better answers from then on."
        ),
    )


def _watch_deployment(
    flow: Flow[..., Any], name: str, block: ClassifierParams, *, schedules: bool
) -> RunnerDeployment:
    """Return the deployment of `watch` for one classifier.

    A second run is cancelled: the first one looks at the same rows.
    """
    return _deployment(
        flow,
        name,
        cron=block.drift.schedule,
        active=schedules,
        collision="CANCEL_NEW",
        triggers=[],
        parameters={"classifiers": [name]},
        description=(
            f"Judges the complete windows of answers of `{name}` that no watch has judged yet. "
            "Drift sends the event `drift.detected`, which starts the retraining."
        ),
    )


def _remember_deployment(flow: Flow[..., Any], *, schedules: bool) -> RunnerDeployment:
    """Return the hourly deployment of `remember`; it takes seconds, and none without new labels."""
    return _deployment(
        flow,
        "all",
        cron=REMEMBER_CRON,
        active=schedules,
        collision="CANCEL_NEW",
        triggers=[],
        parameters={},
        description=(
            "Takes the labels that people sent into the memories of the classifiers. "
            "A memory without new labels stays as it is."
        ),
    )


def _performance_deployment(flow: Flow[..., Any], *, schedules: bool) -> RunnerDeployment:
    """Return the weekly deployment of `performance`."""
    return _deployment(
        flow,
        "all",
        cron=PERFORMANCE_CRON,
        active=schedules,
        collision="CANCEL_NEW",
        triggers=[],
        parameters={},
        description=(
            "Reports how good the answers of the last 90 days were, by week, version, region and "
            "label, as an HTML file and as a page here."
        ),
    )


def drift_trigger(name: str) -> DeploymentEventTrigger:
    """Return the trigger for `drift.detected` of the classifier.

    It runs the deployment with the reason "drift", the evidence, and the moment that was judged.
    """
    from prefect.events import DeploymentEventTrigger

    return DeploymentEventTrigger(
        name=f"drift of {name} calls for its retraining",
        description=(
            f"Starts `retrain/{name}` with the evidence when a watch sends `drift.detected`. "
            "While this is off, each watch calls again until a retraining has judged the drift."
        ),
        expect={DRIFT},
        match={"prefect.resource.id": resource_id(name)},
        parameters={
            "classifiers": [name],
            "reason": "drift",
            "evidence": {
                "__prefect_kind": "json",
                "value": _jinja("{{ event.payload.get('evidence', {}) | tojson }}"),
            },
            "now": _jinja("{{ event.payload.get('now') or event.occurred.isoformat() }}"),
        },
    )


def _deployment(
    flow: Flow[..., Any],
    name: str,
    *,
    cron: str,
    active: bool,
    collision: str,
    triggers: list[Any],
    parameters: dict[str, Any],
    description: str,
) -> RunnerDeployment:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    return flow.to_deployment(  # type: ignore[return-value]
        name,
        schedules=[Cron(cron, timezone="UTC", active=active)],
        paused=False,
        parameters=parameters,
        triggers=triggers,
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy(collision)
        ),
        tags=[TAG, name],
        description=description,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _delete_others(current: set[str]) -> None:
    """Delete the deployments and automations of this project that are not `flow/name` of these."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
    from prefect.client.schemas.sorting import DeploymentSort, FlowSort

    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    with get_client(sync_client=True) as client:
        deployments = _all_pages(
            partial(
                client.read_deployments, deployment_filter=ours, sort=DeploymentSort.CREATED_DESC
            )
        )
        flows = _all_pages(partial(client.read_flows, sort=FlowSort.CREATED_DESC))
        names = {flow.id: flow.name for flow in flows}
        for deployment in deployments:
            if f"{names.get(deployment.flow_id)}/{deployment.name}" not in current:
                client.delete_resource_owned_automations(f"prefect.deployment.{deployment.id}")
                client.delete_deployment(deployment.id)


def _all_pages(read: Callable[..., list[Any]]) -> list[Any]:
    """Return the rows of all pages; a Prefect server returns at most 200 rows at once."""
    rows: list[Any] = []
    while page := read(offset=len(rows)):
        rows += page
    return rows


def _jinja(template: str) -> dict[str, str]:
    return {"__prefect_kind": "jinja", "template": template}


def main(settings: Settings) -> None:
    """Serve the deployments of params.yaml."""
    from core.logs import configure_logs
    from machine.environment import open_flow_database

    configure_logs(settings.log_format)
    params = load_params(settings.repository / "params.yaml")
    with open_flow_database(settings):
        from flows.performance import performance
        from flows.remember import remember
        from flows.retrain import retrain
        from flows.watch import watch

        serve_deployments(
            list_deployments(
                params,
                retrain=retrain,
                watch=watch,
                remember=remember,
                performance=performance,
                schedules=settings.schedules,
            )
        )


if __name__ == "__main__":
    main(load_settings())

"""One Prefect deployment a classifier and flow, and the runner that serves them all: `python -m flows.deployments`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from core.params import ClassifierParams, Params, load_params
from core.settings import Settings, load_settings
from flows.events import DRIFT, resource_id
from machine.environment import TAG

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.deployments.runner import RunnerDeployment
    from prefect.events import DeploymentEventTrigger

RUNS_AT_ONCE = 2  # of all deployments; a retraining keeps a core and about 1.5 GB busy


def list_deployments(
    params: Params, *, retrain: Flow, watch: Flow, schedules: bool = True
) -> list[RunnerDeployment]:
    """Two deployments a classifier. Without `schedules` they run on events and by hand only."""
    return [
        deployment
        for name, block in params.classifiers.items()
        for deployment in (
            _retrain_deployment(retrain, name, block, schedules=schedules),
            _watch_deployment(watch, name, block, schedules=schedules),
        )
    ]


def serve_deployments(deployments: Iterable[RunnerDeployment]) -> None:
    """Register the deployments, forget those of removed classifiers, and run what they schedule until SIGTERM."""
    from prefect import serve

    wanted = list(deployments)
    _forget_all_but({deployment.full_name for deployment in wanted})
    serve(*wanted, limit=RUNS_AT_ONCE, print_starting_message=False)


def _retrain_deployment(
    flow: Flow, name: str, block: ClassifierParams, *, schedules: bool
) -> RunnerDeployment:
    """A second call waits for the first to end: it may bring news, and the cool-down answers it if it does not."""
    return _deployment(
        flow,
        name,
        cron=block.schedule,
        active=schedules,
        collision="ENQUEUE",
        triggers=[drift_trigger(name)],
        parameters={"classifiers": [name], "reason": "schedule"},
        description=f"Retrain {name} and let the candidate face the champion",
    )


def _watch_deployment(
    flow: Flow, name: str, block: ClassifierParams, *, schedules: bool
) -> RunnerDeployment:
    """A second call is dropped: the first looks at the same rows."""
    return _deployment(
        flow,
        name,
        cron=block.drift.schedule,
        active=schedules,
        collision="CANCEL_NEW",
        triggers=[],
        parameters={"classifiers": [name]},
        description=f"Look for drift in what {name} answered",
    )


def drift_trigger(name: str) -> DeploymentEventTrigger:
    """On `drift.detected` for the classifier: run with reason "drift", the evidence, and the moment that was judged."""
    from prefect.events import DeploymentEventTrigger

    return DeploymentEventTrigger(
        name=f"drift of {name} calls for its retraining",
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
    flow: Flow,
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
    from prefect.deployments.runner import EntrypointType
    from prefect.schedules import Cron

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


def _forget_all_but(wanted: set[str]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
    from prefect.client.schemas.sorting import DeploymentSort, FlowSort

    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    with get_client(sync_client=True) as client:
        known = _every(
            partial(
                client.read_deployments, deployment_filter=ours, sort=DeploymentSort.CREATED_DESC
            )
        )
        names = {
            flow.id: flow.name
            for flow in _every(partial(client.read_flows, sort=FlowSort.CREATED_DESC))
        }
        for deployment in known:
            if f"{names.get(deployment.flow_id)}/{deployment.name}" not in wanted:
                client.delete_resource_owned_automations(f"prefect.deployment.{deployment.id}")
                client.delete_deployment(deployment.id)


def _every(read: Callable[..., list[Any]]) -> list[Any]:
    """All pages of what Prefect's client reads; a server hands out 200 rows at once."""
    found: list[Any] = []
    while page := read(offset=len(found)):
        found += page
    return found


def _jinja(template: str) -> dict[str, str]:
    return {"__prefect_kind": "jinja", "template": template}


def main(settings: Settings) -> None:
    """Serve the deployments of params.yaml."""
    from core.logs import configure_logs
    from machine.environment import open_flow_database

    configure_logs(settings.log_format)
    params = load_params(settings.repository / "params.yaml")
    with open_flow_database(settings):
        from flows.retrain import retrain
        from flows.watch import watch

        serve_deployments(
            list_deployments(params, retrain=retrain, watch=watch, schedules=settings.schedules)
        )


if __name__ == "__main__":
    main(load_settings())

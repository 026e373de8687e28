"""The version that a request names."""

from __future__ import annotations

from bentos.heads.loading import LiveModel
from bentos.http.endpoint import AppState, Call
from bentos.http.schemas import RequestRefused, version_of
from core.errors import HeadRefused
from core.logs import get_logger


async def requested_version(state: AppState, call: Call) -> LiveModel | None:
    """Return the version that the query names; None leaves the choice to the rollout."""
    version = version_of(call.query) if call.query else None
    if version is None:
        return None
    try:
        return await state.retained.find(call.classifier, version)
    except HeadRefused as error:
        get_logger().warning(
            "asked version",
            state="refused",
            classifier=call.classifier,
            version=version,
            error=str(error),
        )
        message = (
            f"version {version} is damaged, or needs another embedder than this service has; "
            "the service's log has the reason"
        )
        raise RequestRefused(409, "head_refused", message) from None

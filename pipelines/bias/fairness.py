"""Shares of wrong answers by group, as fairlearn computes them."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.model.arrays import Strings


def wrong_shares(
    truth: Strings, predicted: Strings, groups: Mapping[str, Strings]
) -> dict[str, dict[str, float]]:
    """Return dimension -> group -> share of its rows that are answered wrongly."""
    from fairlearn.metrics import MetricFrame

    shares = {}
    for dimension, names in groups.items():
        frame = MetricFrame(
            metrics=_wrong_share, y_true=truth, y_pred=predicted, sensitive_features=names
        )
        shares[dimension] = {str(name): float(share) for name, share in frame.by_group.items()}
    return shares


def _wrong_share(truth: Strings, predicted: Strings) -> float:
    return float((truth != predicted).mean())

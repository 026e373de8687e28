"""The panels of Evidently's page: statistics against the limit, labels by name, shares."""

from __future__ import annotations

from typing import Any

from monitoring.windows.statistics import STATISTICS

TAB = "Windows"
LARGEST_LABEL = "largest_label"
LIMIT = "limit"
CONFIDENCE_SHARE = {"column": "confidence", "value_type": "share"}
PANELS: dict[str, list[tuple[str, str, dict[str, str]]]] = {
    "Six statistics: standard deviations above the past, and the limit": [
        *((name, "MeanValue", {"column": f"z_{name}"}) for name in STATISTICS),
        ("limit", "MeanValue", {"column": LIMIT}),
    ],
    "Largest labels: share of the answers": [
        # Evidently replaces the braces with the label of each line.
        ("{{label}}", "UniqueValueCount", {"column": LARGEST_LABEL, "value_type": "share"}),
    ],
    "Distance from the reference (Jensen-Shannon)": [
        ("labels", "ValueDrift", {"column": "label"}),
        ("regions", "ValueDrift", {"column": "region"}),
    ],
    "Confidence and novelty, mean": [
        ("confidence", "MeanValue", {"column": "confidence"}),
        ("novelty", "MeanValue", {"column": "novelty"}),
    ],
    "Share of the answers below a confidence of 0.5": [
        ("share", "InRangeValueCount", CONFIDENCE_SHARE),
    ],
}
"""Title -> lines, each with legend, metric and the labels that select its values."""


def write_dashboard(workspace: Any, project: Any) -> None:
    """Write the panels of a project in one step, unless it has them already."""
    from evidently.sdk.models import DashboardModel, DashboardTabModel, PanelMetric
    from evidently.sdk.panels import line_plot_panel

    if [panel.title for panel in workspace.get_dashboard(project).panels] == list(PANELS):
        return
    panels = []
    for title, lines in PANELS.items():
        values = [
            PanelMetric(legend=legend, metric=metric, metric_labels=labels)
            for legend, metric, labels in lines
        ]
        panels.append(line_plot_panel(title=title, values=values))
    tab = DashboardTabModel(title=TAB, panels=[panel.id for panel in panels])
    workspace.save_dashboard(project, DashboardModel(tabs=[tab], panels=panels))

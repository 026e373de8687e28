# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Drift
#
# What the watch saw in each window of the traffic, what it concluded, and how good the answers were
# week by week.

# %%
from contextlib import ExitStack
from datetime import UTC, datetime

import pandas as pd

from core.settings import load_settings
from flows.context import open_context
from monitoring.drift.history import seen_windows
from monitoring.performance.quality import quality_over_time

CLASSIFIER = "block"

opened = ExitStack()
context = opened.enter_context(open_context(load_settings()))
connection = opened.enter_context(context.engine.connect())

# %% [markdown]
# ## The windows

# %%
windows = seen_windows(connection, CLASSIFIER)
pd.DataFrame(
    {
        "window": window.number,
        "from": window.start,
        "to": window.end,
        "rows": window.rows,
        "version": window.version,
        "verdict": window.verdict,
        "alarms": ", ".join(window.alarms),
    }
    for window in windows
).set_index("window")

# %% [markdown]
# ## The six statistics
#
# `z` is the distance from calm traffic in standard deviations. A statistic alarms above the limit.

# %%
judged = [window for window in windows if window.statistics]
distances = pd.DataFrame(
    {name: entry["z"] for name, entry in window.statistics.items()} for window in judged
).set_axis([window.number for window in judged])
axes = distances.plot(marker="o", xlabel="window", ylabel="z")
limits = {window.limit for window in judged if window.limit is not None}
for limit in limits:
    axes.axhline(limit, color="grey", linestyle="--")

# %% [markdown]
# ## How good the answers were
#
# Labels that people gave because an answer was wrong say little about the other answers. Only
# labels of a random sample estimate the accuracy.

# %%
quality = quality_over_time(context.engine, classifier=CLASSIFIER, now=datetime.now(UTC))
pd.DataFrame(quality).round(3)

# %%
opened.close()

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Preparation
#
# Which rows the champion of a classifier learnt from, what the data checks found, and how the rows
# were split. The snapshot comes from the DVC cache, at the git tag of the champion's retraining.

# %%
from contextlib import ExitStack

import pandas as pd

from core.settings import load_settings
from flows.context import open_context
from lineage.lineage import version_lineage
from lineage.page import version_rows
from lineage.reproduce import bring_snapshot
from pipelines.stages.files import CHECK, DATA, classifier_folder, read_json, read_rows
from pipelines.stages.labelled_rows import labelled_rows
from pipelines.workspace import open_workspace

CLASSIFIER = "block"
pd.set_option("display.max_colwidth", 120)

opened = ExitStack()
context = opened.enter_context(open_context(load_settings()))
block = context.params.classifier(CLASSIFIER)
champion = context.champions()[CLASSIFIER]

# %% [markdown]
# ## Where the champion came from

# %%
facts = version_lineage(context, CLASSIFIER, champion.version)
pd.DataFrame(version_rows(facts), columns=["of the version", "recorded"])

# %% [markdown]
# ## The rows

# %%
registered = context.registry.version(CLASSIFIER, champion.version)
workspace = opened.enter_context(
    open_workspace(context.settings.repository, revision=registered.tags["git_tag"])
)
bring_snapshot(workspace, registered)
table = read_rows(workspace.folder / DATA / block.source.dataset / "rows.parquet")
rows = labelled_rows(table, label=block.source.label)

pd.Series(
    {
        "rows": table.num_rows,
        "labelled rows": len(rows.ids),
        "of them from people": int((~rows.from_source).sum()),
        "distinct phrases": len(rows.phrases),
        "labels": len(set(rows.labels)),
    },
    name="count",
).to_frame()

# %% [markdown]
# Most labels are rare. That is why the F1 of a classifier is weighted, and why the gate looks at
# every label.

# %%
counts = pd.Series(rows.labels).value_counts()
axes = counts.reset_index(drop=True).plot(logy=True, xlabel="labels, by frequency", ylabel="rows")

# %%
months = pd.Series(1, index=pd.DatetimeIndex(rows.occurred_at)).resample("MS").sum()
axes = months.plot(ylim=0, xlabel="", ylabel="rows per month")

# %% [markdown]
# ## The checks

# %%
assert workspace.check_out(str(CHECK)), "the cache holds what the checks found"
checks = read_json(workspace.folder / CHECK / "result.json")
pd.DataFrame(checks["checks"])

# %% [markdown]
# ## The split
#
# The newest rows judge. Whole phrases are left out of training, so that some test phrases are new
# to the judged head.

# %%
folder = classifier_folder(CLASSIFIER) / "split"
assert workspace.check_out(str(folder)), "the cache holds the split"
report = read_json(workspace.folder / folder / "report.json")
facts = {name: value for name, value in report.items() if not isinstance(value, dict)}
pd.Series(facts, name="split").to_frame()

# %%
opened.close()

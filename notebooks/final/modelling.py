# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Modelling
#
# How good every version of a classifier was on its own test rows, what the gate decided about it,
# where the champion is wrong, and how it comes to an answer.

# %%
from contextlib import ExitStack

import pandas as pd

from core.settings import load_settings
from flows.answering import open_champion
from flows.context import open_context
from monitoring.versions import evaluation_of, read_versions

CLASSIFIER = "block"
pd.set_option("display.max_colwidth", 120)

opened = ExitStack()
context = opened.enter_context(open_context(load_settings()))
connection = opened.enter_context(context.engine.connect())
block = context.params.classifier(CLASSIFIER)
models = context.settings.models
champion = context.champions()[CLASSIFIER]

# %% [markdown]
# ## The versions

# %%
versions = read_versions(
    connection,
    CLASSIFIER,
    dataset=block.source.dataset,
    retained=[folder.name for folder in (models / CLASSIFIER).iterdir() if folder.name.isdigit()],
)
pd.DataFrame(
    {
        "version": row.version,
        "gate": row.verdict,
        "why": "; ".join(row.reasons),
        "roles": ", ".join(row.roles),
    }
    for row in versions
).set_index("version")

# %%
evaluations = {row.version: evaluation_of(models, CLASSIFIER, row.version) for row in versions}
numbers = {
    version: {name: value for name, value in evaluation.items() if isinstance(value, int | float)}
    for version, evaluation in evaluations.items()
}
pd.DataFrame(numbers).round(4)

# %% [markdown]
# ## The labels of the champion

# %%
evaluation = evaluations[champion.version]
labels = pd.DataFrame(evaluation["labels"]).T
labels.sort_values("support", ascending=False).head(20).round(3)

# %%
axes = labels.plot.scatter("support", "f1", logx=True)

# %% [markdown]
# ## The commonest confusions

# %%
pd.DataFrame(evaluation["confused"]).head(10)

# %% [markdown]
# ## Some answers

# %%
phrases = ["fx of left wrist", "type 2 diabetes", "acute appendicitis"]
pd.DataFrame(
    {"phrase": phrase, "label": answer.label, "probability": round(answer.probability, 3)}
    for phrase, (answer, _) in zip(
        phrases, open_champion(context.settings, CLASSIFIER).answer(phrases), strict=True
    )
)

# %%
opened.close()

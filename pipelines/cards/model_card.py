"""The model card of a version, from its facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.cards.card import Card, Facts, Section, Sentence, Table, Writer, ask, plain, step
from pipelines.cards.self_training_section import self_training_section

SCORES = {
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "calibration_error": "calibration error",
}
PARTS = {"all": "all test rows", "unseen": "unseen phrases"}
WORST_LABELS = 5
LEAST_SUPPORT = 10
"""Test rows from which on a label is listed among the worst."""


def model_card(facts: Facts) -> Card:
    """Return the card."""
    write = Writer(facts)
    sections = [
        Section("What it is for", purpose(write)),
        Section("The version", _version(write)),
        Section("Data", _data(write)),
        self_training_section(write),
        _figures(write),
        _worst_labels(write),
        Section("What the gate said", _gate(write), _slices(write)),
        Section("Harm that could not be seen", _unseen_harm(write)),
        Section("When it does not answer", _abstention(write)),
        _bias(write),
        Section("Cost of its answers", _cost(write)),
        _energy(write),
        Section("Limits", list(_limits(write))),
    ]
    title = f"Model card: {facts['classifier']} version {facts['version']}"
    return Card(title, [part for part in sections if part.sentences or part.tables])


def purpose(write: Writer) -> list[Sentence]:
    """Say what the classifier is for and whose it is, or that nobody wrote it down."""
    sentences = [
        write.say("{purpose}", purpose="params/purpose:text")
        if ask("params/purpose", write.facts)
        else plain("Nobody has written down what it is for: set `purpose` in its block.")
    ]
    if ask("params/line", write.facts):
        sentences.append(
            write.say(
                "It answers {question} in the {column} {value} alone.",
                question="params/line/of:text",
                column="params/line/by:text",
                value="params/line/value:text",
            )
        )
    if ask("params/owner", write.facts):
        return [*sentences, write.say("Owner: {owner}.", owner="params/owner:text")]
    return [*sentences, plain("Nobody is named as its owner: set `owner` in its block.")]


def _version(write: Writer) -> list[Sentence]:
    head = write.say(
        "A head of the kind {kind} for {labels} labels on the embedder {embedder}.",
        kind="head/kind:text",
        labels="labels:count",
        embedder="run/embedder_id:text",
    )
    made = write.say(
        "Run {run} made it, for the reason {reason}; commit {commit} has its code.",
        run="run/run:text",
        reason="run/reason:text",
        commit="run/git_commit:text",
    )
    rules = write.say("After the head, {rules} rules decide phrases.", rules="rules:count")
    again = plain("`perennial reproduce` trains it again from its snapshot.")
    return [made, head, *([rules] if ask("rules", write.facts) else []), again]


def _data(write: Writer) -> list[Sentence]:
    if not write.knows("split"):
        return [plain("The counts of its split were not recorded.")]
    return [
        write.say(
            "{train} rows trained it and {test} tested it, {unseen} of them with phrases that it "
            "had never seen.",
            train="split/train_rows:count",
            test="split/test_rows:count",
            unseen="split/unseen_test_rows:count",
        ),
        write.say(
            "They come from {first} to {last}.", first="split/first:text", last="split/last:text"
        ),
        plain("The data card has the rest."),
    ]


def _figures(write: Writer) -> Section:
    rows = []
    for part, rows_name in PARTS.items():
        for score, name in SCORES.items():
            place = f"derived/scores/{part}/{score}"
            if write.knows(place):
                queries = (f"{place}/value:score", f"{place}/low:score", f"{place}/high:score")
                rows.append([plain(f"{name}, {rows_name}"), *write.cells(*queries)])
    if write.knows("derived/cost"):
        cost = [f"derived/cost/{name}:number" for name in ("value", "low", "high")]
        rows.append([plain("cost of a thousand answers"), *write.cells(*cost)])
    sentence = plain(
        "The judged head gave these answers: it has not seen the test rows. The served head has "
        "learnt them too. Intervals hold with 95 %; they draw phrases, because rows of one phrase "
        "are answered alike."
    )
    table = Table(("figure", "value", "at least", "at most"), rows)
    return Section("Figures", [sentence], [table]) if rows else Section("Figures")


def _worst_labels(write: Writer) -> Section:
    labels: Mapping[str, Any] = ask("evaluation/labels", write.facts) or {}
    known = {name: row for name, row in labels.items() if row["support"] >= LEAST_SUPPORT}
    worst = sorted(known, key=lambda name: (known[name]["f1"], name))[:WORST_LABELS]
    rows = [
        [
            plain(name),
            *write.cells(
                f"evaluation/labels/{step(name)}/f1:score",
                f"evaluation/labels/{step(name)}/recall:score",
                f"evaluation/labels/{step(name)}/precision:score",
                f"evaluation/labels/{step(name)}/support:count",
            ),
        ]
        for name in worst
    ]
    if not rows:
        return Section("Labels that it answers worst")
    table = Table(("label", "F1", "recall", "precision", "test rows"), rows)
    return Section("Labels that it answers worst", tables=[table])


def _gate(write: Writer) -> list[Sentence]:
    if not write.knows("gate"):
        return [plain("The gate never judged it.")]
    reasons = ask("gate/reasons", write.facts) or []
    sentences = [write.say("Verdict: {kind}.", kind="gate/kind:text")]
    sentences += [
        write.say("{reason}", reason=f"gate/reasons/{place}:text") for place in range(len(reasons))
    ]
    if write.knows("params/gate"):
        sentences.append(
            write.say(
                "The gate asks for a weighted F1 of {least} and allows a drop of {drop}.",
                least="params/gate/min_weighted_f1:score",
                drop="params/gate/max_weighted_f1_drop:score",
            )
        )
    return sentences


def _slices(write: Writer) -> list[Table]:
    """Return candidate and champion on the same test rows, by the gate's slices."""
    place = "gate/evidence/accuracy_by_slice"
    slices: Mapping[str, Any] = ask(place, write.facts) or {}
    rows = []
    for name in slices:
        of_slice = f"{place}/{step(name)}"
        queries = (f"{of_slice}/rows:count", f"{of_slice}/candidate:score")
        rows.append([plain(name), *write.cells(*queries, f"{of_slice}/champion:score")])
    columns = ("accuracy on", "test rows", "this version", "the champion of then")
    return [Table(columns, rows)] if rows else []


def _unseen_harm(write: Writer) -> list[Sentence]:
    if write.knows("gate/evidence/visible_harm"):
        return [write.say("{harm}", harm="gate/evidence/visible_harm:text")]
    return [plain("It was compared with no champion, so that no loss could be seen at all.")]


def _abstention(write: Writer) -> list[Sentence]:
    if not ask("evaluation/abstention/policy", write.facts):
        return [plain("Never: it answers every phrase, also one that no label fits.")]
    if not ask("evaluation/abstention/rule", write.facts):
        return [plain("Its policy of abstention found no threshold: it answers every phrase.")]
    return [
        write.say(
            "It answers {answered} of the test rows alone, and at least {right} of these rightly.",
            answered="evaluation/abstention/promise/answered:percent",
            right="evaluation/abstention/promise/precision:percent",
        )
    ]


def _bias(write: Writer) -> Section:
    from pipelines.cards.bias_section import bias_section

    return bias_section(write)


def _cost(write: Writer) -> list[Sentence]:
    if not write.knows("derived/cost"):
        return []
    cost = write.say(
        "A thousand answers cost {value} ({low} to {high}, 95 %).",
        value="derived/cost/value:number",
        low="derived/cost/low:number",
        high="derived/cost/high:number",
    )
    costs: Mapping[str, Any] = ask("params/costs", write.facts) or {}
    if not costs.get("labels") and not costs.get("pairs") and costs.get("default", 1.0) == 1.0:
        return [cost, plain("Every wrong answer costs one: set `costs` in its block.")]
    default = write.say("A wrong answer costs {default}", default="params/costs/default:number")
    return [cost, default, plain("unless `costs` in its block says otherwise.")]


def _energy(write: Writer) -> Section:
    times: Mapping[str, Any] = ask("times", write.facts) or {}
    if not times:
        return Section("Energy and time", [plain("The times of its stages were not recorded.")])
    total = write.say(
        "Its stages took {seconds} CPU seconds: about {hours} Wh at {watts} W per busy core.",
        seconds="derived/energy/cpu_seconds:number",
        hours="derived/energy/watt_hours:number",
        watts="derived/energy/watts_per_core:number",
    )
    note = plain(
        "A stage that DVC took from its cache is not listed. Stages that classifiers share count "
        "in full."
    )
    rows = [
        [
            plain(name),
            *write.cells(f"times/{name}/cpu_seconds:number", f"times/{name}/seconds:number"),
        ]
        for name in sorted(times)
    ]
    fit = [
        write.say("The fit of its heads took {seconds} s.", seconds="times/train/seconds:number")
    ]
    table = Table(("stage", "CPU seconds", "seconds"), rows)
    return Section("Energy and time", [total, *(fit if "train" in times else []), note], [table])


def _limits(write: Writer) -> Iterator[Sentence]:
    yield plain("It answers one of its labels, whatever the phrase is about.")
    if ask("split/left_out", write.facts):
        yield write.say(
            "It cannot answer {labels} labels that had too few rows, {rows} rows together.",
            labels="labels_left_out:count",
            rows="split/left_out_rows:count",
        )
    yield plain(
        "The figures are those of the test rows. They say nothing about languages, regions or "
        "subjects that these rows lack."
    )
    yield plain("Its answers are not a decision about a person, and no test looked at such a use.")

"""Makes a revision of a memory again from its record, and compares the digests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from core.contracts import Verdict
from core.errors import HeadRefused, UnknownVersion
from core.memory_revisions import MemoryRevision, find_revision
from flows.context import LoopContext
from flows.memory import make_memory
from monitoring.labels.received import received_labels
from pipelines.memory.store import read_source_labels
from pipelines.model.memory import load_memory, save_memory


def reproduce_revision(context: LoopContext, classifier: str, revision: int) -> Verdict:
    """Weigh the same labels again: the source's of the snapshot, the feedback of the range.

    Returns the Verdict "identical" or "different". Raises `UnknownVersion` for a revision that the
    table does not have, or whose source labels are gone.
    """
    recorded = _recorded(context, classifier, revision)
    source = read_source_labels(context.settings.models, classifier, snapshot=recorded.snapshot)
    with context.engine.connect() as connection:
        received = received_labels(connection, classifier=classifier, received_by=recorded.as_of)
    in_range = received[received["id"] <= (recorded.last_feedback or 0)]

    made = make_memory(
        source,
        in_range,
        classifier=classifier,
        revision=revision,
        as_of=recorded.as_of,
        judged_since=recorded.as_of,
    )

    # Whether it was switched off was decided by the labels since a fit, and is on record.
    memory = replace(made.memory, enabled=recorded.enabled)
    with TemporaryDirectory(prefix="perennial-memory-") as folder:
        digest = save_memory(memory, Path(folder))

    evidence = {"digest": {"recorded": recorded.digest, "repeated": digest}}
    if digest == recorded.digest:
        reason = f"{recorded.labels} labels of {recorded.phrases} phrases give the same bytes"
        return Verdict("identical", (reason,), evidence)

    weighing = _stored_weighing(recorded)
    if weighing not in (None, memory.weighing):
        reason = (
            f"another release made it, by other rules of weighing ({weighing}; here "
            f"{memory.weighing}); reproduce it with that release"
        )
    else:
        reason = f"{len(made.labels)} labels give digest {digest}; {recorded.labels} gave another"
    return Verdict("different", (reason,), evidence)


def _stored_weighing(recorded: MemoryRevision) -> int | None:
    """Return the rules that the stored revision names; None when its files are gone or damaged."""
    try:
        return load_memory(Path(recorded.location), digest=recorded.digest).weighing
    except HeadRefused:
        return None


def _recorded(context: LoopContext, classifier: str, revision: int) -> MemoryRevision:
    with context.engine.connect() as connection:
        recorded = find_revision(connection, classifier, revision)
    if recorded is None:
        raise UnknownVersion(
            f"a revision of the memory of {classifier}",
            came=str(revision),
            do="see the table memory_revision for those that exist",
        )
    return recorded

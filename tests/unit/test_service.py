"""How the classifier service ends, without BentoML around it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

from bentos.inference_log.feedback import FeedbackCounts, FeedbackLog
from bentos.inference_log.journal import Journal, JournalCounts
from bentos.service import Classifier
from tests.support.inferences import row


class Nothing:
    def use(self, loop: None) -> None: ...

    async def close(self) -> None: ...


def test_what_the_tasks_log_on_their_way_out_is_in_the_journal_before_it_closes(
    tmp_path: Path,
) -> None:
    counts = JournalCounts()
    journal = Journal(tmp_path, counts=counts)

    async def logs_at_the_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            journal.append([row(1)])

    async def run() -> bool:
        task = asyncio.create_task(logs_at_the_end())
        await asyncio.sleep(0)
        service = SimpleNamespace(
            warmer=Nothing(),
            remote=Nothing(),
            tasks=[task],
            journal=journal,
            feedback=FeedbackLog(tmp_path / "feedback", counts=FeedbackCounts()),
            background=[],
        )
        await Classifier.inner.stop(service)  # type: ignore[attr-defined]  # BentoML's wrapper
        return task.done()

    assert asyncio.run(run())
    assert counts == JournalCounts(written=1)

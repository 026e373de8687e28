"""Does the memory earn its place? Every label is foretold by what was known before it."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import binomtest

LEVEL = 0.05
"""Chance that a memory no worse than the head alone is switched off (one-sided sign test)."""


@dataclass(frozen=True)
class Foretold:
    """Labels that were foretold by memory and head; of those where only one was right, whose."""

    labels: int
    memory_right: int
    head_right: int
    only_memory: int
    only_head: int

    @property
    def loses(self) -> bool:
        """True when the head alone foretells better, by a sign test where they differ."""
        differing = self.only_memory + self.only_head
        if not differing or self.only_head <= self.only_memory:
            return False
        test = binomtest(self.only_head, differing, 0.5, alternative="greater")
        return bool(test.pvalue <= LEVEL)


def compare_foretold(truth: list[str], with_memory: list[str], head_alone: list[str]) -> Foretold:
    """Count; all lists have one entry per label received."""
    pairs = [
        (told == label, plain == label)
        for label, told, plain in zip(truth, with_memory, head_alone, strict=True)
    ]
    return Foretold(
        labels=len(pairs),
        memory_right=sum(memory for memory, _ in pairs),
        head_right=sum(head for _, head in pairs),
        only_memory=sum(memory and not head for memory, head in pairs),
        only_head=sum(head and not memory for memory, head in pairs),
    )

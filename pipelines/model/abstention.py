"""When a version answers "none of these": a score from confidence and novelty, and its threshold.

The rule lies beside a head in a small file of its own. A head without the file always answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import HeadRefused
from pipelines.model.arrays import Float32, Float64

FILE = "abstention.json"
FORMAT = "perennial-abstention-1"
USUAL = 2.5
"""Up to so many standard deviations above the mean, novelty says nothing: among 200 blocks of
ICD-10-CM, foreign phrases of the same field are hardly farther away than others. With 2, 3 to 7 in
100 of these are found less often; with 3, up to 20 in 100 of another field (`benchmarks.abstain`).
"""
STEEPNESS = 2.0
"""Standard deviations of the log-odds that one more standard deviation of novelty takes away."""
LEAST_ODDS = 1e-6


@dataclass(frozen=True)
class Abstention:
    """A phrase is refused when its score is below `threshold`.

    The score is the log-odds of the best label's probability, less `novelty_weight` for each unit
    of novelty above `novelty_limit`.
    """

    threshold: float
    novelty_limit: float
    novelty_weight: float

    def score(self, confidence: float, novelty: float) -> float:
        """Return the score from the best label's probability and the novelty of a phrase."""
        far = max(novelty - self.novelty_limit, 0.0)
        return log_odds(confidence) - self.novelty_weight * far

    def scores(self, confidence: Float32, novelty: Float32) -> Float64:
        """Return float64 (n,); `confidence` and `novelty` are (n,) each."""
        pairs = zip(confidence.tolist(), novelty.tolist(), strict=True)
        return np.array([self.score(*pair) for pair in pairs], np.float64)

    def refuses(self, confidence: Float32, novelty: Float32) -> list[bool]:
        """Mark the phrases that no label fits.

        In plain Python: for one phrase, an operation of numpy costs more than all of this.
        """
        pairs = zip(confidence.tolist(), novelty.tolist(), strict=True)
        return [self.score(*pair) < self.threshold for pair in pairs]


def log_odds(probability: float) -> float:
    """Return the finite log-odds of a probability."""
    share = min(max(probability, LEAST_ODDS), 1 - LEAST_ODDS)
    return math.log(share) - math.log1p(-share)


def fit_score(confidence: Float32, novelty: Float32) -> Abstention:
    """Return the score of a head from phrases that have a label and that it never saw.

    It needs no foreign phrase. Its threshold refuses nothing.
    """
    spread = float(np.std(novelty))
    limit = float(np.mean(novelty)) + USUAL * spread
    of_odds = float(np.std([log_odds(share) for share in confidence.tolist()]))
    weight = STEEPNESS * of_odds / spread if spread > 0 else 0.0
    return Abstention(-math.inf, limit, weight)


def save_abstention(rule: Abstention | None, folder: Path) -> None:
    """Write the file; equal rules give equal bytes. None: the version always answers."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "rule": as_json(rule)}
    text = json.dumps(content, indent=1, sort_keys=True)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def as_json(rule: Abstention | None) -> dict[str, float] | None:
    """Return a rule that refuses something as JSON, None for every other one."""
    return asdict(rule) if rule is not None and math.isfinite(rule.threshold) else None


def load_abstention(folder: Path) -> Abstention | None:
    """Read the rule beside a head; None when it always answers, or has no file.

    Raises `HeadRefused` for a file that says neither.
    """
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise refused_rule(folder, str(error)) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise refused_rule(folder, "another format")
    return _rule(folder, content.get("rule", ""))


def _rule(folder: Path, given: Any) -> Abstention | None:
    if given is None:
        return None
    names = Abstention.__dataclass_fields__.keys()
    if not isinstance(given, Mapping) or given.keys() != names:
        raise refused_rule(folder, f"a rule {str(given)[:60]!r}")
    if not all(type(value) in (int, float) and math.isfinite(value) for value in given.values()):
        raise refused_rule(folder, "a rule with values that are not finite numbers")
    return Abstention(**given)


def refused_rule(folder: Path, came: str) -> HeadRefused:
    """Return the error of a rule that may not be used."""
    do = "train again, or restore it with `dvc checkout` or `perennial reproduce`"
    return HeadRefused(f"a rule of abstention in {folder / FILE}", came=came, do=do)

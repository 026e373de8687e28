"""The names of a snapshot's files, of the facts that its stages read, and of an origin."""

from __future__ import annotations

ROWS = "rows.parquet"
FACTS = "snapshot.json"
PREVIOUS = "previous.json"
UNLABELLED = "unlabelled.parquet"
"""Only where a classifier of the data set trains itself; see `pipelines/unlabelled.py`."""

AFTER = "rows_after_as_of"
"""Fact: source rows left out because their time is after the snapshot's. Absent when 0."""
ZONELESS = "times_without_zone"
"""Fact: rows whose time had no zone and was taken as UTC. Absent when 0."""
UNLABELLED_FACT = "unlabelled"
"""Fact: the digest of UNLABELLED, and what it holds of each classifier. Absent without the file."""
TRIMMED = "labels_trimmed"
"""Fact: label column -> source rows whose label lost blanks around it. Absent without any."""

BOTH = "both"
"""Origin of a feedback row whose id the source holds as well; others: "source", "feedback"."""

"""The gate: candidate against champion on the same test rows, pure, from arrays to a Verdict."""

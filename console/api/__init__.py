"""One router per route under `/api`."""

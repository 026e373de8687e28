"""When things happen: the Prefect flows, their deployments, and what only they need."""

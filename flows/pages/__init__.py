"""What the Prefect UI shows of a run: pages, tables and states."""

"""The peers in `benchmarks.serving`, each written as its own documentation shows."""

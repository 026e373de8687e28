"""The other services of `benchmarks.serving`: each answers as Perennial does, in the way its own documentation shows."""

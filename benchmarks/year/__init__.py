"""A simulated year of the demo's practice under several policies, judged by an oracle."""

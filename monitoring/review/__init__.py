"""The review queue: what people label, one item after the other."""

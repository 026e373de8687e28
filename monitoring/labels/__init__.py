"""Labels that people gave: received, imported, pinned, and what came of them."""

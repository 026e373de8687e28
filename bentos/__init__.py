"""How it is served: HTTP, answering, heads, embedder, inference log, packaging."""

"""How it is served: embedder and classifier services, caches, routing, live heads, journal, package."""

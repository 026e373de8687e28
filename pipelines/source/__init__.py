"""Where labelled phrases come from: extraction from any database, and the demo's own source."""

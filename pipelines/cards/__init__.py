"""Model card and data card: describe a version; the query of every figure can be run again."""

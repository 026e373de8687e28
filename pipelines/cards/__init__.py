"""Model card and data card: what a version is, in sentences whose figures can be asked again."""

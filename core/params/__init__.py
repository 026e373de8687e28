"""params.yaml: its blocks as strict types, how it is read, and how it is edited."""

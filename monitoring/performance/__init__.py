"""How good the answers were: counted, estimated, and shown."""

"""What becomes of a trained candidate: compared, described, registered, promoted, packaged."""

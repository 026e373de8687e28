"""What a retraining's mistakes have in common, and what would make them fewer."""

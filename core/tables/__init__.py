"""The tables of Perennial's own database; migrations create them."""

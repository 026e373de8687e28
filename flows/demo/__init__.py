"""The demo story: the whole loop on demo data."""

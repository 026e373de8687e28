"""How much traffic a service bears, and how large it should be."""

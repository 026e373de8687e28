"""Windows of the traffic: cut, read, scored, and what they are compared with."""

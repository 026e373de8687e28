"""The bodies of the commands: each opens what it needs, calls a room, and shows the answer."""

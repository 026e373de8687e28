"""The programs of one machine: start, stop, health, ports, environment."""

"""WHEN things happen: flows, their deployments, the processes of one machine, and the command line."""

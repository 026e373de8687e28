"""Shared kernel: contracts, settings, params, tables, errors, logs. Imports nothing of ours and no ML library."""

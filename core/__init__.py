"""The shared kernel: contracts, settings, params, tables, errors. Imports no other package."""

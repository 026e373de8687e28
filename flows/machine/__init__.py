"""The programs of one machine: what runs, how it starts, whether it is well."""

"""The console: one place in a browser where people see, fix and decide."""

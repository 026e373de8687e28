"""The console on a real PostgreSQL, and its pages in Chromium."""

"""What happened: windows, drift, performance, feedback, reports. Never imports bentos."""

"""What happened: windows, drift, labels, performance, review, tasks. Never imports bentos."""

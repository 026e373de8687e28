"""One module per DVC stage: files in, files out."""

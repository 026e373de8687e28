"""clean_phrase, embedder, heads, PhraseClassifier: trained here, served by bentos; nothing else."""

"""Keys of the configuration of an MLflow model: what it is loaded with."""

CLASSIFIER = "classifier"
EMBEDDER_ID = "embedder_id"
HEAD_DIGEST = "head_digest"

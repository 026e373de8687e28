"""What is computed: model, stages, source, registry, snapshots."""

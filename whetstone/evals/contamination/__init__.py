"""Was it seen before? Overlap of texts, and signs in a model, each detector beside its own positive control."""

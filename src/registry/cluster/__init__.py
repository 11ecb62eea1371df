"""The same HTTP surface on Ray Serve: one deployment a model."""

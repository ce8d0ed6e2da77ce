"""A watch party: people in a room see the same second of the same video."""

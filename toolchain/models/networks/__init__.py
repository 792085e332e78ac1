"""Neural networks of the catalogue, one file a family."""

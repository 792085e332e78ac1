"""Data only: the model catalogue and the profiles, read with importlib.resources."""

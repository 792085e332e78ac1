"""Weights of our own models (safetensors), each with its model card beside it."""

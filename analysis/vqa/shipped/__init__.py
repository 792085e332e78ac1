"""Weights of the judging network (safetensors), with its card beside it."""

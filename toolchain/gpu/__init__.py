"""The way of a frame that never leaves an NVIDIA GPU: decode, LUT, network, encode. Not run on hardware."""

"""The command line."""

import gc

# Imports make hundreds of thousands of objects that stay: at Python's own threshold, looking through them again and
# again takes a quarter of the start.
gc.set_threshold(100_000)

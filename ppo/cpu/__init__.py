"""Compiled kernels for a CPU; optional, PyTorch's operators give the same numbers without them."""

"""Tensors here are tiny: more than one thread only makes the tests slower."""

import torch

torch.set_num_threads(1)

"""A two-legged robot and its walking task, in batched torch tensors."""

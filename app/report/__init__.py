"""One page about how well a checkpoint walks."""

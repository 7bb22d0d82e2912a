"""One experiment trained with several seeds."""

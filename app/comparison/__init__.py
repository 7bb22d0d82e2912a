"""One page about how groups of runs learned, beside each other."""

"""Films of a policy: those of a training, and what a page about it shows."""

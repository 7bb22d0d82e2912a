"""`biped-robot`: a robot file from a model file, and what is suspicious about one."""

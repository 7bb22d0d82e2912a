"""Searching for better values of the flags of training: `biped-sweep`."""

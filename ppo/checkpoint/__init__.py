"""Checkpoints as files: the Stable-Baselines3 zip, written whole or not at all, and the folder of a run's models."""

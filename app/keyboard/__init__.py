"""Steering with the keys of a terminal: `python play.py --keyboard`."""

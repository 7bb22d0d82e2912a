"""The page on which a robot is steered in a browser: `python play.py --web`."""

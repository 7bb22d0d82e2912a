"""Robots that come with the project, a file each."""

from biped.robots.robot_file import load_robot

BIPED = load_robot("biped")
"""The biped of `biped/assets/biped.urdf`."""

"""Robots: what a body is, and where its files lie."""

"""Preset values for the schemas defined beside the code that reads them."""

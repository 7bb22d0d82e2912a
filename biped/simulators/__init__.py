"""Physics engines behind one interface; each is imported in its own file only."""

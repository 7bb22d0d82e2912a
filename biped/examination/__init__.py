"""Does it walk? Gait measures, commands, criteria, and the means to watch."""

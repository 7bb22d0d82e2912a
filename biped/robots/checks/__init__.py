"""What is suspicious about a robot file and its model."""

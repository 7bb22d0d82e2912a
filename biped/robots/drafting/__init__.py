"""A first robot file, worked out from a model: mirror, feet, pose, gains."""

"""What a robot is to do: observations, rewards, commands, gait, terminations and what differs between robots."""

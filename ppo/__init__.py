"""Recurrent PPO on device tensors; needs only an environment that follows `ppo.env.VecEnv`."""

"""The policy that came with the project until 2026-11-27."""

from pathlib import Path

OLDER_POLICY = Path(__file__).with_name("older_policy.zip")
"""Its checkpoint is from before checkpoints told their robot and their engine, and some names have changed since; its
actor sees the whole observation."""

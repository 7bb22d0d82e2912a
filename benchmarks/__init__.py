"""Measurements that back what the documentation says; each module is one command."""

import os

from ppo.program.launch import make_way

# Every benchmark begins here, before PyTorch is loaded.
make_way(os.environ)

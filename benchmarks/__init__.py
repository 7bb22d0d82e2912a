"""Measurements that back what the documentation says; each module is one command."""

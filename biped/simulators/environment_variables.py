"""Environment variables that the engines read."""

import os


def unset_empty_variables(*prefixes: str) -> None:
    """Remove the empty environment variables whose names begin so: the engines take some for a bad value, not for none.

    Call it before an engine is imported, which is when most are read.
    """
    for name in [name for name, value in os.environ.items() if not value and name.startswith(prefixes)]:
        del os.environ[name]

"""The command lines of the smaller programs."""

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """Says in one line what is wrong with the command line, without the usage in front."""

    def error(self, message: str) -> NoReturn:
        """Print the line on stderr and exit with code 2."""
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")

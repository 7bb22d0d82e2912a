"""Pretends to be a training: writes a log with scores that depend on its flags, and ends as real ones do.

With seed 1 it is good, with 2 it fails, with 3 it is bad, and with more it goes on until it is asked to stop.
"""

import signal
import sys
import time
from pathlib import Path

from ppo.report.event_file import EventFile

flags = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
folder = Path(flags["--log-dir"], flags["--exp-name"])
seed = int(flags["--seed"])
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
log = EventFile(folder / "RecurrentPPO_1")
if seed == 2:
    sys.exit("error: this one cannot work")
for examination, points in enumerate((5.0, 7.0, 6.0) if seed == 1 else (2.0, 3.0, 4.0)):
    log.write({"eval/points": points + 1.0, "eval/genesis/points": points, "train/loss": 1.0}, 100 * examination)
    if seed == 3 and examination == 0:
        time.sleep(60.0)
if seed >= 4:
    time.sleep(60.0)

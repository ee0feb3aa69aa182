"""``python -m bncli``, and the command ``bncli``."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    # While the rest is still being loaded, nothing has begun that a signal would have to undo.
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda signum, _: os._exit(128 + signum))
    from bncli.cli.entry import main as run

    run()


if __name__ == "__main__":
    main()

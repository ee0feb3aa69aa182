"""``python -m bncli``."""

from bncli.cli.entry import main

if __name__ == "__main__":
    main()

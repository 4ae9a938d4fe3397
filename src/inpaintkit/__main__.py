"""`python -m inpaintkit` is the command line."""

import sys


def main() -> int:
    """Run the command line; Ctrl-C while it is still being loaded ends it as at any later time."""
    try:
        from .cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("inpaintkit: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())

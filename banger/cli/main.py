"""Entry of `banger`. Answers `--version` before anything is imported; everything else is banger.cli.app."""

import gc
import sys

INTERRUPTED = 130


def main() -> int:
    """Run the command line and return the exit status."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from banger import __version__

        print(f"banger {__version__}")
        return 0
    gc.disable()  # what is imported stays: to look for garbage in it takes time that somebody waits
    try:
        from banger.cli.app import run
    except KeyboardInterrupt:  # pressed before there was anybody to handle it
        return INTERRUPTED
    gc.enable()
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())

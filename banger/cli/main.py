"""Entry of `banger`. Answers `--version` before anything is imported; everything else is banger.cli.app."""

import sys


def main() -> int:
    """Run the command line and return the exit status."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from banger import __version__

        print(f"banger {__version__}")
        return 0
    from banger.cli.app import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())

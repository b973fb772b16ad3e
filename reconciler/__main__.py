"""The program's door: answers ``--version`` at once, and leaves everything else to ``cli``."""

from __future__ import annotations

import sys

from reconciler import __version__


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] in (
        ["--version"],
        ["-V"],
    ):  # before the heavy imports: scripts ask for it often
        sys.stdout.write(f"pcc-reconciler {__version__}\n")
        return
    from reconciler.cli import run  # noqa: PLC0415 - see above

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

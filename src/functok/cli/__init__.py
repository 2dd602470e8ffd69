"""The command line: one command per verb. Nothing heavy is imported before a command runs."""

import sys

from functok.runtime.errors import UserError

STOPPED = 130
"""Exit code of a command that the user stopped, as shells have it."""


class StoppedError(Exception):
    """The user stopped a command whose finished work is kept."""


def main() -> None:
    """Run the command line.

    Input that cannot be used ends in one sentence and exit code 2; Ctrl-C in one that says how to
    continue, and exit code 130.
    """
    from functok.cli.commands import app

    try:
        app()
    except UserError as error:
        print(f"functok: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except StoppedError:
        sentence = "stopped. Finished work is kept: run the same command again to continue."
        print(f"\nfunctok: {sentence}", file=sys.stderr)
        raise SystemExit(STOPPED) from None

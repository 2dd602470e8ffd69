"""The command line: one command per verb. Nothing heavy is imported before a command runs."""

import sys

from functok.runtime.errors import UserError


def main() -> None:
    """Run the command line; a mistake the user can mend ends in one sentence and exit code 2."""
    from functok.cli.commands import app

    try:
        app()
    except UserError as error:
        print(f"functok: {error}", file=sys.stderr)
        raise SystemExit(2) from None

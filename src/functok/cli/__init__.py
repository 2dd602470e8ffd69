"""The command line: one command per verb. Nothing heavy is imported before a command runs."""

import io
import os
import sys
from contextlib import suppress
from typing import NoReturn

from functok.runtime.errors import StoppedError, UserError
from functok.runtime.threads import wait_asleep
from functok.runtime.visible import visible

REFUSED = 2
STOPPED = 130
"""Exit code of a command that the user stopped, as shells have it."""


def main() -> None:
    """Run the command line.

    Input that cannot be used, and what the system refuses, end in one sentence and exit code 2;
    Ctrl-C in one that says how to continue, and exit code 130.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding lacks is spelled out
            stream.reconfigure(errors="backslashreplace")
    wait_asleep()
    from functok.cli.commands import app

    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except UserError as error:
        _end(str(error), REFUSED)
    except StoppedError:
        print(file=sys.stderr)
        _end("stopped. Finished work is kept: run the same command again to continue.", STOPPED)
    except BrokenPipeError:  # whoever read the output has seen enough
        _quiet()
        raise SystemExit(0) from None
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        _quiet()  # typer has met it first, and would end with 1
        raise SystemExit(0) from None
    except MemoryError:
        _end("There is not enough memory for this; choose smaller sizes.", REFUSED)
    except OSError as error:
        if error.errno is None:
            raise
        place = "the output" if error.filename is None else error.filename
        _quiet()
        _end(f"Cannot use {place}: {error.strerror}; fix this and run the command again.", REFUSED)


def _end(sentence: str, code: int) -> NoReturn:
    print(f"functok: {visible(' '.join(sentence.split()), lines=False)}", file=sys.stderr)
    raise SystemExit(code) from None


def _quiet() -> None:
    """Nothing more reaches standard output, also not when Python flushes it at the end."""
    with suppress(OSError):  # what stands in for standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

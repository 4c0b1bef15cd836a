"""The command line. Every verb is a module of its own, imported when it is used."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The entry point of `tenuto`: runs a verb and ends the process with its exit code."""
    try:
        from tenuto.cli.program import run_program

        run_program()
    except KeyboardInterrupt:  # while its modules were imported: nothing has begun
        import sys

        sys.stderr.write("tenuto: interrupted\n")
        sys.exit(130)

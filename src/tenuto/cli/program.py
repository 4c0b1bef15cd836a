"""The root of the command line: the verbs, found lazily, and how a process ends."""

from __future__ import annotations

import errno
import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from tenuto.cli.completing import answer_shell, asked_by_shell
from tenuto.cli.output import complain, tell, unwritable, without_secrets
from tenuto.cli.streams import prepare_streams, silence
from tenuto.errors import ExitCode, TenutoError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["program", "run_program"]

VERBS = {
    "demo": "See it work: run a team, kill it, resume it, replay it",
    "init": "Write a first plan with its agents",
    "check": "Check a plan and all it names, without running it",
    "audit": "Measure how far a model repeats itself",
    "lock": "Write down what a plan resolves to, or say what moved",
    "run": "Run a plan over a repository",
    "resume": "Continue a run after a crash, a stop or a decision",
    "fork": "Run again what a change affects, and reuse the rest",
    "replay": "Prove a run: recompute it from its record, offline",
    "verify": "Check every byte of a run's record",
    "ls": "List the runs",
    "show": "Show how a run stands",
    "logs": "Tell what happened in a run, or what happens now",
    "diff": "Compare two runs, and show where they first differ",
    "events": "Print the records of a run, one a line",
    "apply": "Bring a run's result into the repository",
    "checkout": "Write the files of any step into a new directory",
    "export": "Write a run with all it needs to one file",
    "import": "Take a run from a file, as a record that is only read",
    "cancel": "Cancel a run",
    "approve": "Let a call pass that waits for a person",
    "reject": "Refuse a call that waits for a person",
    "pause": "Let the calls of a run end, and start no more",
    "resolve": "Say what became of a call in doubt",
    "artifacts": "List what a run's models and tools returned",
    "budget": "Show what a run may spend, holds and has spent",
    "schema": "Print the JSON Schema of plan or agent files",
    "config": "Show the settings and where each comes from",
    "completion": "Print what makes a shell complete these commands",
    "doctor": "Say what this machine has and lacks",
}
"""Every verb with its line of help: `tenuto --help` imports no verb."""
_UNEXPECTED = re.compile(r"unexpected extra arguments? \((.*)\)")

GROUPS = {
    "Begin": ("demo", "init", "check", "lock", "schema"),
    "Run": ("run", "resume", "fork", "pause", "cancel"),
    "Decide": ("approve", "reject", "resolve"),
    "Look": ("ls", "show", "logs", "events", "budget", "artifacts"),
    "Prove": ("replay", "verify", "diff", "audit"),
    "Take out": ("apply", "checkout", "export", "import"),
    "Set up": ("config", "completion", "doctor"),
}
"""The verbs as `tenuto --help` orders them; those in no group come last."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in VERBS:
            return None
        module = "importing" if cmd_name == "import" else cmd_name  # a keyword cannot name a module
        command: click.Command = import_module(f"tenuto.cli.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        grouped = {name for names in GROUPS.values() for name in names}
        rest = tuple(name for name in VERBS if name not in grouped)
        widest = max(map(len, VERBS))
        for title, names in (*GROUPS.items(), ("More", rest)):
            if names:
                with formatter.section(title):
                    formatter.write_dl([(name.ljust(widest), VERBS[name]) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(name, help=line) for name, line in VERBS.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].partition("=")[0] in ("--json", "--store", "--verbose", "-v"):
            raise UsageError("this flag belongs to a verb", where=args[0], fix="write it after the verb")
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = click.utils.make_str(args[0])
        if name not in VERBS and not name.startswith("-"):
            from tenuto.core.problems import did_you_mean, shorten

            fix = did_you_mean(name, VERBS, "see `tenuto --help`")
            raise UsageError(f"there is no verb {shorten(name)!r}", where=shorten(name), fix=fix)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A first run: tenuto init first && cd first && tenuto run hello.plan.yaml",
)
@click.version_option(package_name="tenuto", message="%(prog)s %(version)s")
def program() -> None:
    """Runs plans with teams of LLM agents over a repository, and makes every run exact."""


def run_program(arguments: list[str] | None = None) -> NoReturn:
    """Run one command line and end the process. Every way out is an exit code and at most a few lines."""
    instruction = asked_by_shell()
    if instruction:
        sys.exit(answer_shell(program, instruction))
    prepare_streams()
    given = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given
    verbose = "-v" in given or "--verbose" in given
    try:
        # Not `main`: it has its own ideas of exit codes and of pipes that were closed.
        with program.make_context("tenuto", list(given)) as context:
            code = program.invoke(context)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        for line in error.format_message().splitlines():
            tell(line)
        sys.exit(int(ExitCode.USAGE))
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        fix = f"see `{where or 'tenuto'} --help`"
        sys.exit(complain(_usage(error, fix), as_json=as_json))
    except BrokenPipeError:
        _leave_pipe()
    except (KeyboardInterrupt, click.Abort):
        tell("tenuto: interrupted")
        sys.exit(int(ExitCode.INTERRUPTED))
    except TenutoError as error:
        _show_trace(verbose)
        sys.exit(complain(error, as_json=as_json))
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a traceback
        if isinstance(error, OSError) and error.filename is None and error.errno in (errno.ENOSPC, errno.EIO):
            # A store says what it lacks in its own words: this is click's help, or the last flush.
            silence(sys.stdout)
            sys.exit(complain(unwritable(error), as_json=False))
        _show_trace(verbose)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        wrong = TenutoError(f"internal error: {text}", fix="-v shows the traceback; please report it")
        wrong.code = "internal"
        sys.exit(complain(wrong, as_json=as_json))


def _usage(error: click.ClickException, fix: str) -> TenutoError:
    """A wrong command line, told as our own errors are: the flag or argument, what is wrong with it, a way out."""
    what = " ".join(error.format_message().split()).rstrip(".")
    where = ""
    match error:
        case click.NoSuchOption(option_name=name):
            where = name
        case click.MissingParameter(param=click.Parameter() as parameter):
            where = _named(parameter)
        case click.BadParameter(param=click.Parameter() as parameter, message=message):
            where, what = _named(parameter), " ".join(message.split()).rstrip(".")
        case _:
            if found := _UNEXPECTED.search(what):
                where, what = found[1], "this argument is one too many"
    return UsageError(what, where=where, fix="" if ";" in what else fix)


def _named(parameter: click.Parameter) -> str:
    """A flag as it is written, an argument as the help names it."""
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name


def _show_trace(verbose: bool) -> None:
    if verbose:
        import traceback

        for line in without_secrets(traceback.format_exc()).splitlines():
            tell(line)


def _leave_pipe() -> NoReturn:
    """Whoever read us has gone: nothing more is said, at the interpreter's end either."""
    silence(sys.stdout)
    sys.exit(int(ExitCode.OK))

"""The command line: `translatotron-v {translate, demo, redraw, text, serve, render, info, export, merge, convert}`.

What each command does is in `commands/`. Everything heavy is imported inside the command that needs it, so that
`--help` and `--version` answer at once.
"""

import argparse
import gc
import sys
from collections.abc import Sequence

from translatotron_v import __version__
from translatotron_v.commands import checkpoints, redraw, serve, text, translate
from translatotron_v.terminal import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 done, 1 some pictures failed, 2 bad input, 130 interrupted)."""
    arguments = list(sys.argv[1:] if argv is None else argv)

    def run() -> int:
        if arguments[:1] == ["render"]:  # the renderer has a command line of its own
            return _render(arguments[1:])
        options = build_parser().parse_args(arguments)
        return options.run(options)

    try:
        return guarded(run, "interrupted; what was written so far stays")
    finally:
        gc.unfreeze()  # what is frozen at the exit counts as leaked to nanobind, which then complains


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="translatotron-v", description="Translate the text in a picture straight into a picture."
    )
    parser.add_argument("--version", action="version", version=f"translatotron-v {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    translate.add_commands(commands)
    redraw.add_commands(commands)
    text.add_commands(commands)
    serve.add_commands(commands)
    commands.add_parser("render", help="render text pairs to pictures (the same as python -m data_synth)")
    checkpoints.add_commands(commands)
    return parser


def _render(arguments: list[str]) -> int:
    from data_synth.cli import main as render

    return render(arguments, prog="translatotron-v render")

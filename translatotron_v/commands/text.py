"""`text`: a text file to a text file, by text mode."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from translatotron_v.arguments import positive
from translatotron_v.commands.options import add_device_options, add_text_options, loading, read_glossary
from translatotron_v.commands.records import PRINTED
from translatotron_v.generation_config import GenerationOptions

if TYPE_CHECKING:
    from translatotron_v.inference.loaded import LoadedTranslator

TEXT_EPILOG = """\
example: back-translation, to train on German for which there was only English
  translatotron-v text captions.en -o captions.de --weights runs/en-de/text
"""


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command."""
    text = commands.add_parser(
        "text",
        help="translate a text file in text mode, line by line",
        description="Translate a text file, one sentence a line, by text mode: the layers that translate pictures, "
        "given the text. What was written stays when it is interrupted, and the same command goes on from there.",
        epilog=TEXT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text.add_argument("input", metavar="IN", help="text file in UTF-8, .gz too")
    text.add_argument("-o", "--output", metavar="OUT", required=True, help="text file to write")
    text.add_argument("--force", action="store_true", help="begin anew instead of going on")
    add_text_options(text.add_argument_group("model"))
    speed = text.add_argument_group("speed")
    speed.add_argument("--batch-size", type=positive, default=64, metavar="N", help="sentences at a time (64)")
    add_device_options(speed)
    text.set_defaults(run=_text)


@loading()
def load_text_mode(options: argparse.Namespace) -> "LoadedTranslator":
    """Text mode alone."""
    from translatotron_v.engines.choice import choose_device, choose_engine, set_threads
    from translatotron_v.inference.loaded import load_translator
    from translatotron_v.shipped import find_weights

    engine = choose_engine(options.engine)
    set_threads(options.threads, engine)
    return load_translator(
        find_weights(options.weights), choose_device(options.device, engine), text_only=True, engine=engine,
        threads=options.threads,
    )  # fmt: skip


def _text(options: argparse.Namespace) -> int:
    from translatotron_v.inference.text_files import translate_file

    glossary = read_glossary(options)
    loaded, source, target = load_text_mode(options), Path(options.input), Path(options.output)
    asked = GenerationOptions(
        target_language=options.target_language, beams=options.beams, glossary=glossary, numbers=options.numbers
    )
    written = translate_file(
        loaded, source, target, loaded.generation.updated(**asked), batch_size=options.batch_size, restart=options.force
    )
    foreign = written.foreign
    for line, signs in list(foreign.items())[:PRINTED]:
        print(f"{source}:{line}: the model cannot write {' '.join(signs)}", file=sys.stderr)
    if len(foreign) > PRINTED:
        print(f"and {len(foreign) - PRINTED} more lines hold characters that it cannot write", file=sys.stderr)
    print(f"{written.now} of {written.lines} lines translated into {target}")
    if glossary is not None:
        print(f"glossary: {sum(term.used for term in written.terms)} of {len(written.terms)} terms as it says")
    return 0

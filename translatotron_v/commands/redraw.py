"""`redraw`: the JSON of a translation, changed by hand, to the picture that it asks for."""

import argparse
import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.arguments import option
from translatotron_v.commands.options import add_device_options, loading
from translatotron_v.errors import UserError
from translatotron_v.shipped import DEFAULT_WEIGHTS
from translatotron_v.terminal import readable_values

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from translatotron_v.inference.containers import Source
    from translatotron_v.inference.corrections import Redrawn, SetWord
    from translatotron_v.inference.pipeline import Translator
    from translatotron_v.inference.wanted import Wanted

EPILOG = """\
In the JSON change of a block: "text" ("": take it off), "font" (a face of the model, or another one by name or path),
"size" (pixels per em), "weight" ("light", "regular", "bold", "black", or ems), "colour" ([red, green, blue]),
"alignment", or set "leave" to true for the source as it was. Blocks that are as they were drawn keep their pixels.

example:
  translatotron-v translate page.png -o page-en.png --json --save-clean > page.json
  translatotron-v redraw page.json
"""


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command."""
    redraw = commands.add_parser(
        "redraw",
        help="draw blocks again whose text, face, size, weight or colour was changed in the JSON",
        description="Draw what was changed in the JSON of a translation, on the cleaned ground. The picture that the "
        "JSON names is replaced, and the JSON says what was drawn; with -o both are left and OUT is written.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    redraw.add_argument("page", metavar="PAGE.json", type=Path, help="what translate --json printed, or report.json")
    redraw.add_argument("-o", "--output", metavar="OUT", type=Path, help="where to write instead")
    redraw.add_argument("--force", action="store_true", help="overwrite OUT")
    redraw.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME|DIR",
                        help=f"shipped weights, a checkpoint, or one of the Hub ({DEFAULT_WEIGHTS})")  # fmt: skip
    redraw.add_argument(
        "--redraws", type=option("redraws", int), metavar="N",
        help="read what was drawn and draw words that say something else up to N times again (as the weights say)",
    )  # fmt: skip
    add_device_options(redraw.add_argument_group("speed"))
    redraw.set_defaults(run=_redraw)


def _redraw(options: argparse.Namespace) -> int:
    from translatotron_v.inference.wanted import read_blocks

    for library in ("PIL", "pikepdf"):
        logging.getLogger(library).addHandler(logging.NullHandler())
    document, records = read_records(options.page)
    todo = []
    for number, record in enumerate(records, start=1):
        where = str(options.page) if len(records) == 1 else f"{options.page}: record {number}"
        pages = pages_of(record, where)
        wanted = [read_blocks(page, where if len(pages) == 1 else f"{where}: page {place}")
                  for place, page in enumerate(pages, start=1)]  # fmt: skip
        if any(block.changed for page in wanted for block in page):
            todo.append((record, where, wanted))
    if options.output is not None and len(todo) > 1:
        raise UserError(f"{options.output}: one file cannot take {len(todo)} pictures; leave -o out")
    if options.output is not None and options.output.exists() and not options.force:
        raise UserError(f"{options.output}: exists already; --force overwrites it")
    for record, where, _ in todo:
        check(record, where)
    if not todo:
        print("nothing was changed")
        return 0
    translator = load(options)
    for record, where, wanted in todo:
        target = options.output or Path(record["outputs"][0])
        notes = redraw_file(translator, record, wanted, target, where, options.redraws)
        changed = sum(block.changed for page in wanted for block in page)
        print(f"{target}: {changed} of {sum(map(len, wanted))} blocks drawn again")
        for note in notes:
            print(f"  block {note}")
        if options.output is None:
            write_records(options.page, document)
    return 0


@loading()
def load(options: argparse.Namespace) -> "Translator":
    """The translator whose model draws; raises UserError for weights without whole pages."""
    from translatotron_v.inference.pipeline import Translator

    translator = Translator.from_pretrained(
        options.weights, device=options.device, threads=options.threads, engine=options.engine
    )
    if not translator.takes_pages:
        raise UserError(f"{options.weights}: these weights translate no whole pages, so nothing can be drawn again")
    return translator


# --- the JSON ---------------------------------------------------------------------------------------------------------


def read_records(path: Path) -> tuple[Any, list[dict[str, Any]]]:
    """The records of pictures in a file of JSON: one, several line by line, or those of a report.

    Returns:
        What the file holds, and the records in it that have outputs and blocks.

    Raises:
        UserError: a file that cannot be read, or is none of these.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        try:
            document = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: no JSON ({str(error).split(chr(10))[0]})") from None
    found = document
    if isinstance(document, dict):
        found = document.get("files", [document])
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise UserError(f"{path}: not what translate --json prints, nor a report.json")
    records = [record for record in found if "blocks" in record or "pages" in record]
    if not records:
        raise UserError(f"{path}: no blocks of text in it; redraw takes what translate --json prints of whole pages")
    return document, records


def write_records(path: Path, document: Any) -> None:
    """Put a file of JSON back, changed, whole or not at all."""
    from translatotron_v.inference.pictures import written

    document = readable_values(document)
    if isinstance(document, list):
        text = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in document)
    else:
        text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    with written(path) as file:
        file.write(text.encode())


def pages_of(record: dict[str, Any], where: str) -> list[dict[str, Any]]:
    pages = record.get("pages", [record])
    if not isinstance(pages, list) or not all(isinstance(page, dict) for page in pages):
        raise UserError(f"{where}: pages: a list of objects is wanted")
    for page in pages:
        if type(turns := page.get("turns", 0)) is not int or not 0 <= turns <= 3:
            raise UserError(f"{where}: turns: a number of quarters from 0 to 3 is wanted")
    return pages


def check(record: dict[str, Any], where: str) -> None:
    """Raises UserError unless the record names source and translation, of a kind that can be drawn on."""
    outputs = record.get("outputs")
    if not isinstance(record.get("input"), str):
        raise UserError(f"{where}: input: the name of the source is wanted")
    if not isinstance(outputs, list) or not outputs or not all(isinstance(name, str) for name in outputs):
        raise UserError(f"{where}: outputs: the names of what was written are wanted, the translation first")
    if not isinstance(record.get("clean", ""), str):
        raise UserError(f"{where}: clean: the name of the cleaned source is wanted")
    if Path(outputs[0]).suffix.lower() == ".pdf":
        raise UserError(f"{outputs[0]}: pages of a PDF cannot be drawn again; export them as pictures first")


# --- pictures ---------------------------------------------------------------------------------------------------------


def redraw_file(
    translator: "Translator",
    record: dict[str, Any],
    wanted: "Sequence[Sequence[Wanted]]",
    target: Path,
    where: str,
    redraws: int | None = None,
) -> list[str]:
    """Draw the changed blocks of a file again, write it, and bring its record up to date.

    Args:
        wanted: blocks of each of its pages.

    Returns:
        What is to be known of blocks.

    Raises:
        UserError: pictures that are missing, broken or of other sizes; a face that nobody knows.
    """
    from PIL import Image

    from translatotron_v.inference.pictures import written

    names = [Path(record["input"]), Path(record["outputs"][0])]
    names += [Path(record["clean"])] if record.get("clean") and Path(record["clean"]).is_file() else []
    pages = pages_of(record, where)
    notes: list[str] = []
    with _opened(names) as sources:
        for path, source in zip(names, sources, strict=True):
            if source.count != len(pages):
                raise UserError(f"{path}: has {source.count} pages, of which {where} has {len(pages)}")
        sources[0].check(target.suffix.lower())
        made: list[tuple[dict[str, Any], Sequence[Wanted], Redrawn]] = []
        with written(target) as file:
            writer = sources[0].writer(file, target.suffix.lower())
            frames = zip(*(source.frames() for source in sources), strict=True)
            for number, (page, blocks, of) in enumerate(zip(pages, wanted, frames, strict=True), start=1):
                if any(block.changed for block in blocks):
                    pictures = [frame.plain for frame in of]
                    redrawn = draw_changes(translator, page, blocks, pictures, where, redraws, _set_word)
                    prefix = f"{number}." if len(pages) > 1 else ""
                    notes += [f"{prefix}{note}" for note in redrawn.notes]
                    made.append((page, blocks, redrawn))
                    writer.add(of[0], Image.fromarray(redrawn.pixels).convert(of[0].plain.mode))
                else:
                    writer.add(of[0], of[1].plain)
            notes += [f"of {target.name}: {line}" for line in writer.finish()]
    for page, blocks, redrawn in made:
        update(page, blocks, redrawn)
    return notes


@contextlib.contextmanager
def _opened(names: Sequence[Path]) -> "Iterator[list[Source]]":
    from translatotron_v.inference.sources import open_source

    with contextlib.ExitStack() as stack:
        sources = []
        for path in names:
            sources.append(open_source(path))
            stack.callback(sources[-1].close)
        yield sources


def draw_changes(
    translator: "Translator",
    page: dict[str, Any],
    blocks: "Sequence[Wanted]",
    pictures: "Sequence[Image.Image]",
    where: str,
    redraws: int | None = None,
    set_word: "SetWord | None" = None,
) -> "Redrawn":
    """Draw the changed blocks of a page again.

    Args:
        page: what is told of it, and `blocks` what `read_blocks` makes of that.
        pictures: the source, its translation and, where there is one, the cleaned source.
        set_word: sets words in faces that the model does not know; None: there are no others.

    Raises:
        UserError: see `redraw_page`; or blocks that no page has.
    """
    import numpy as np

    from translatotron_v.inference.corrections import redraw_page

    arrays = [np.asarray(picture.convert("RGB")) for picture in pictures]
    assert translator.pages is not None
    try:
        with translator.loaded.arithmetic():
            return redraw_page(
                translator.loaded, translator.pages, arrays[0], arrays[1], blocks,
                translator.generation.updated(redraws=redraws), clean=arrays[2] if len(arrays) > 2 else None,
                turns=page.get("turns", 0), set_word=set_word,
            )  # fmt: skip
    except UserError:
        raise
    except Exception as error:  # of blocks that no page has, such as lines across one another
        reason = f"{type(error).__name__}: {str(error).strip()}".split("\n")[0]
        raise UserError(f"{where}: these blocks cannot be drawn ({reason})") from error


def _set_word(word: str, font: str, scale: float) -> "np.ndarray":
    """A word in a face that the model does not know. Raises UserError where nobody knows it."""
    from translatotron_v.baselines.typesetter import set_word
    from translatotron_v.data.pairs import one_family_of_errors

    with one_family_of_errors():
        return set_word(word, font, scale)


def update(page: dict[str, Any], blocks: "Sequence[Wanted]", redrawn: "Redrawn") -> None:
    """Let the record of a page say what was drawn."""
    from translatotron_v.inference.corrections import LEFT
    from translatotron_v.inference.wanted import stamp

    for number, quads in redrawn.words.items():
        block = page["blocks"][number]
        block.pop("skip_reason", None)
        block["words"] = [[[round(x, 1), round(y, 1)] for x, y in quad] for quad in quads]
        if blocks[number].leave:
            block["skip_reason"] = LEFT
        block["drawn"] = stamp(block)

"""The command line: `python -m data_synth OUT ...`, also reached as `translatotron-v render`."""

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data_synth.build import BuildOptions, Summary, build
from data_synth.corpora import TextPair, missing_parts, read_pairs
from data_synth.errors import UserError
from data_synth.fonts import bundled_names, default_fonts, find_font
from data_synth.style import BACKGROUNDS, KINDS, PageLayout, StyleOptions

_DESCRIPTION = """\
Render aligned text pairs as pairs of pictures, and write them as Parquet shards that Hugging Face `datasets` opens.
Both pictures of a pair share font, colours, background and the places of text blocks."""

_EPILOG = """\
where the text comes from
  nothing given        a built-in phrase grammar in de, en, fr, ro, cs: any number of pairs, offline
  --text corpus/       a folder with train.de and train.en (or .gz); --split picks train, validation, test, ...
  --text corpus/train  the same by prefix
  --text pairs.tsv     source TAB target (.gz too); a name such as en-de.tsv tells the order of the columns
  --text de-en.tgz     an IWSLT release as downloaded (tgz or zip, of the pair or of the whole year), or its folder:
                       tags stripped, every 23rd training pair to validation, test = dev2010 + dev2012 + tst2010 to
                       tst2012, of which those that are missing are named; it serves both directions

examples
  # 1,000 pages of 512x512 in assorted fonts, nothing but this program needed
  {prog} pages/

  # the plain grey strips that small models train on
  {prog} strips/ --text corpus/ --size 48x256 --grey --lower --fonts DejaVuSans --font-size 11 \\
      --line-height 16 --margin 2 --top 0

  # hard pages: one to three blocks at random places, colours, photographs, noise
  {prog} hard/ --blocks 1-3 --colours --backgrounds plain gradient photo --noise 8 --blur 0.6 --jpeg 60

  # a held-out split into the same folder, then open both
  {prog} pages/ --split validation --count 200
  python -c "from datasets import load_dataset; print(load_dataset('pages'))"

An interrupted run continues when the same command is given again. The same seed gives the same bytes, whatever the
number of workers."""


def parser(prog: str) -> argparse.ArgumentParser:
    """The options, in groups a reader can scan."""
    top = argparse.ArgumentParser(
        prog,
        description=_DESCRIPTION,
        epilog=_EPILOG.replace("{prog}", prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "out", nargs="?", help="folder to write to, or s3://BUCKET/FOLDER: OUT/data/*.parquet and OUT/README.md"
    )
    top.add_argument("--list-fonts", action="store_true", help="print the names of bundled fonts and stop")
    text = top.add_argument_group("text")
    text.add_argument("--text", metavar="PATH", type=Path, help="corpus (see below); default: the built-in grammar")
    text.add_argument("--source", default="de", metavar="LANG", help="source language (default: de)")
    text.add_argument("--target", default="en", metavar="LANG", help="target language (default: en)")
    text.add_argument("--split", default="train", help="which split to read and write (default: train)")
    text.add_argument("--count", type=_positive, metavar="N", help="pages (default: the whole text; 1000 of grammar)")
    text.add_argument("--max-words", type=_positive, metavar="N", help="longest sentence, in words, on either side")
    text.add_argument("--lower", action="store_true", help="lower-case all text")
    page = top.add_argument_group("page")
    page.add_argument("--size", type=_size, default=(512, 512), metavar="HxW", help="pixels (default: 512x512)")
    page.add_argument("--grey", action="store_true", help="one channel instead of RGB")
    page.add_argument("--kind", choices=KINDS, default="paragraph", help="arrangement (default: paragraph)")
    page.add_argument("--blocks", type=_range, metavar="A-B", help="blocks on a page; implies --kind blocks")
    page.add_argument("--margin", type=int, default=16, help="columns left free at either side (default: 16)")
    page.add_argument("--top", type=int, default=16, help="rows left free above and below (default: 16)")
    look = top.add_argument_group("look, drawn anew for each pair")
    look.add_argument(
        "--fonts", nargs="+", metavar="FONT", help="names or TTF/OTF files (default: all bundled families)"
    )
    look.add_argument("--font-size", type=_range, default=(16, 28), metavar="A-B", help="pixels (default: 16-28)")
    look.add_argument(
        "--smallest", type=_positive, metavar="N", help="shrink what does not fit, down to this font size"
    )
    look.add_argument("--line-height", type=int, default=0, metavar="N", help="rows per line (default: by font)")
    look.add_argument("--colours", action="store_true", help="readable random colours instead of black on white")
    look.add_argument("--backgrounds", nargs="+", choices=BACKGROUNDS[:3], default=["plain"], help="default: plain")
    look.add_argument("--background-folder", metavar="DIR", help="also pictures of your own as backgrounds")
    look.add_argument("--noise", type=float, default=0.0, metavar="S", help="largest Gaussian noise, grey levels")
    look.add_argument("--blur", type=float, default=0.0, metavar="R", help="largest Gaussian blur radius, pixels")
    look.add_argument("--jpeg", type=int, default=0, metavar="Q", help="JPEG artefacts of this quality or better")
    out = top.add_argument_group("output")
    out.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    out.add_argument("--shard-size", type=_positive, default=500, metavar="N", help="pages per file (default: 500)")
    out.add_argument("--workers", type=_positive, metavar="N", help="processes (default: one per core)")
    out.add_argument(
        "--ray", nargs="?", const="", metavar="ADDRESS",
        help="render on a Ray cluster, a shard a task (auto, HOST:6379, ray://HOST:10001; without ADDRESS what "
        "RAY_ADDRESS says, or a Ray of --workers processes that is started here)",
    )  # fmt: skip
    out.add_argument("--force", action="store_true", help="replace shards of this split made with other settings")
    out.add_argument("--quiet", action="store_true", help="no progress bar")
    return top


def main(argv: Sequence[str] | None = None, prog: str = "python -m data_synth") -> int:
    """Run the command; returns the exit status: 0, 2 for a mistake of the user's, 130 when interrupted."""
    top = parser(prog)
    arguments = top.parse_args(argv)
    if arguments.list_fonts:
        print("\n".join(bundled_names()))
        return 0
    if arguments.out is None:
        top.error("name the folder to write to, in front of the options, for example: pages/ --count 100")
    started = time.monotonic()
    try:
        options = _options(arguments)
        summary = build(
            _texts(arguments, options),
            options,
            arguments.out,
            pages=arguments.count,
            workers=arguments.workers or _cores(),
            force=arguments.force,
            quiet=arguments.quiet,
            ray=arguments.ray,
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues with the shards that are missing", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"error: {error.filename or 'standard output'}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(_report(summary, options, time.monotonic() - started))
    return 0


def _options(arguments: argparse.Namespace) -> BuildOptions:
    from data_synth.backgrounds import pictures_in
    from data_synth.photographs import bundled_photographs

    if arguments.kind == "blocks" and arguments.blocks is None:
        arguments.blocks = (1, 3)
    backgrounds: tuple[str, ...] = tuple(arguments.backgrounds)
    pictures: tuple[str, ...] = ()
    if "photo" in backgrounds:
        bundled_photographs()
    if arguments.background_folder is not None:
        pictures = pictures_in(arguments.background_folder)
        backgrounds = (*(name for name in backgrounds if name != "plain"), "folder")
    fonts = tuple(arguments.fonts or default_fonts())
    for font in fonts:
        find_font(font)
    style = StyleOptions(
        fonts=fonts,
        sizes=arguments.font_size,
        line_height=arguments.line_height,
        margin=arguments.margin,
        top=arguments.top,
        colours=arguments.colours,
        backgrounds=backgrounds,
        pictures=pictures,
        noise=arguments.noise,
        blur=arguments.blur,
        jpeg=arguments.jpeg,
    )
    height, width = arguments.size
    return BuildOptions(
        source_language=arguments.source,
        target_language=arguments.target,
        split=arguments.split,
        origin=_origin(arguments),
        layout=PageLayout(height, width, 1 if arguments.grey else 3, "blocks" if arguments.blocks else arguments.kind),
        style=style,
        blocks=arguments.blocks or (1, 1),
        smallest=arguments.smallest,
        lower=arguments.lower,
        seed=arguments.seed,
        shard_size=arguments.shard_size,
    )


def _origin(arguments: argparse.Namespace) -> str:
    """What the card says of the text; parts of a test set that are missing are named there and on the screen."""
    if arguments.text is None:
        return "built-in grammar"
    name: str = arguments.text.name
    if missing := missing_parts(arguments.text, arguments.source, arguments.target, arguments.split):
        name += f" (without {', '.join(missing)}, which are not in it)"
        if not arguments.quiet:
            print(f"note: the test set of {name}", file=sys.stderr)
    return name


def _texts(arguments: argparse.Namespace, options: BuildOptions) -> Sequence[TextPair]:
    if arguments.text is None:
        from data_synth.grammar import GrammarPairs

        arguments.count = arguments.count or 1000
        indices = range(arguments.count * options.blocks[1])
        texts = GrammarPairs(
            options.source_language,
            options.target_language,
            options.seed,
            indices,
            max_words=arguments.max_words,
            split=options.split,
        )
        texts[0]  # a wrong language or split shows before any work starts
        return texts
    pairs = read_pairs(arguments.text, options.source_language, options.target_language, options.split)
    limit = arguments.max_words
    if limit is not None:
        pairs = [pair for pair in pairs if max(len(pair.source.split()), len(pair.target.split())) <= limit]
    return pairs


def _report(summary: Summary, options: BuildOptions, seconds: float) -> str:
    counts = summary.counts
    found = f" ({summary.shards_found} found from before)" if summary.shards_found else ""
    lines = [
        f"{counts['written']:,} page pairs of {counts['asked']:,} written in {seconds:.1f} s",
        f"  shrunk to fit                  {counts['shrunk']:,}",
        f"  skipped, no room               {counts['no_room']:,}",
        f"  skipped, letters not in font   {counts['no_glyph']:,}",
        f"  {options.split}: {summary.shards} shards{found}, {summary.size / 1e6:.1f} MB in {summary.folder / 'data'}",
        f"  open: datasets.load_dataset({str(summary.folder)!r}); described in {summary.folder / 'README.md'}",
    ]
    return "\n".join(lines)


def _cores() -> int:
    """Cores this process may use; not every system tells them apart from all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, for example 512x512")
    return int(match[1]), int(match[2])


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor a range such as 16-28")
    return int(match[1]), int(match[2] or match[1])

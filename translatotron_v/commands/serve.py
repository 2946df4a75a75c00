"""`serve`: the service and its page."""

import argparse
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.arguments import BASELINES, PRECISIONS, between
from translatotron_v.commands.options import add_device_options, loading
from translatotron_v.commands.records import page_record
from translatotron_v.errors import UserError
from translatotron_v.shipped import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from translatotron_v.inference.pipeline import Translator
    from translatotron_v.serve.limits import Limits
    from translatotron_v.serve.service import Redraw

TOKEN = "TRANSLATOTRON_TOKEN"  # the environment variable
AT_ONCE = {"blocks": 50, "lines": 200, "characters": 5000}  # changed by one /redraw, at most
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command."""
    serve = commands.add_parser(
        "serve",
        help="translate over HTTP, with a page to look at",
        description="Translate over HTTP: POST /translate, jobs with progress, and a page at /. Uploads stay in "
        "memory. Needs the extra: pip install 'translatotron-v[serve,files]'.",
    )
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (127.0.0.1: this machine)")
    serve.add_argument("--port", type=between(0, 65535), default=8000, metavar="N", help="0: any that is free (8000)")
    serve.add_argument(
        "--token-file", type=Path, metavar="FILE",
        help=f"holds the token that requests must carry; or the variable {TOKEN}. Beyond this machine one is a must",
    )  # fmt: skip
    serve.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="a name by which browsers know the service, besides localhost and ADDRESS; may be given again",
    )  # fmt: skip
    serve.add_argument(
        "--limit", action="append", default=[], metavar="NAME=VALUE",
        help="a bound of the service, such as body_bytes=8000000, pixels, pages, seconds, job_seconds, requests, "
        "together; may be given again",
    )  # fmt: skip
    model = serve.add_argument_group("model")
    model.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME|DIR",
                       help=f"shipped weights, a checkpoint, or one of the Hub ({DEFAULT_WEIGHTS})")  # fmt: skip
    model.add_argument(
        "--baseline", action="append", default=[], choices=BASELINES[1:], metavar="NAME",
        help="a baseline that can be chosen beside the model, such as cascade-reader-render; may be given again",
    )  # fmt: skip
    model.add_argument("--precision", choices=PRECISIONS, default="fp32", help="fp32; bf16 for GPUs; int8 (fp32)")
    add_device_options(model)
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    try:
        import uvicorn

        from translatotron_v.memory import SERVING, keep_caches_small

        keep_caches_small(SERVING)
        from translatotron_v.serve.app import create_app
        from translatotron_v.serve.service import Service
    except ModuleNotFoundError as error:
        raise UserError(f"serving takes {error.name}: pip install 'translatotron-v[serve]'") from None
    token, limits = _token(options), _limits(options.limit)
    if options.host not in LOOPBACK and not token:
        raise UserError(
            f"--host {options.host}: others than this machine reach it, which takes a token: --token-file or {TOKEN}"
        )
    systems = load_systems(options)
    first = next(iter(systems.values()))
    service = Service(systems, page_record, limits, redrawing(first) if first.takes_pages else None)
    app = create_app(
        service,
        languages=first.loaded.config.model.vocabulary.languages,
        weights=Path(options.weights).name,
        token=token,
        hosts={*LOOPBACK, options.host, *options.allow_host},
    )
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: None)  # uvicorn takes its turn, finishes what runs, and hands the signal back
    uvicorn.run(
        app, host=options.host, port=options.port, access_log=False, server_header=False, timeout_keep_alive=10,
        h11_max_incomplete_event_size=16_384, lifespan="on",
    )  # fmt: skip
    return 0


@loading()
def load_systems(options: argparse.Namespace) -> "dict[str, Translator]":
    """The model and the baselines beside it, by name, on weights that are loaded once."""
    from translatotron_v.baselines import Baseline
    from translatotron_v.inference.pipeline import Translator
    from translatotron_v.inference.whole_pages import PageTranslator

    first = Translator.from_pretrained(
        options.weights,
        device=options.device,
        threads=options.threads,
        precision=options.precision,
        engine=options.engine,
    )
    systems = {first.baseline: first}
    for name in dict.fromkeys(options.baseline):
        if not first.takes_pages:
            raise UserError(f"baseline {name} takes weights that translate whole pages, which {options.weights} do not")
        pages = PageTranslator.from_folder(first.loaded, Baseline(name)(first.loaded))
        systems[name] = Translator(first.loaded, pages=pages, baseline=name)
    return systems


def redrawing(translator: "Translator") -> "Redraw":
    """What draws changed blocks of a page again, as the command `redraw` does.

    Faces are those that the model draws: what a client names is never looked for on the disk. So that one request holds
    up others no longer than a page does, it changes so many blocks, lines and characters at most.
    """
    from PIL import Image

    from translatotron_v.commands.redraw import draw_changes, pages_of, update
    from translatotron_v.inference.wanted import read_blocks

    def redraw(
        source: Image.Image, answer: Image.Image, page: dict[str, Any]
    ) -> tuple[Image.Image, dict[str, Any], list[str]]:
        pages_of({"pages": [page]}, "page")
        blocks = read_blocks(page, "page")
        changed = [block for block in blocks if block.changed]
        if not changed:
            return answer, page, []
        counts = {
            "blocks": len(changed),
            "lines": sum(len(row) for block in changed for row in block.rows),
            "characters": sum(len(block.text) for block in changed),
        }
        for name, most in AT_ONCE.items():
            if counts[name] > most:
                raise UserError(f"page: {counts[name]} changed {name} are more than {most}; change less at once")
        largest = max(block.size or 0 for block in changed)
        if largest > max(source.size):
            raise UserError(f"page: letters of {largest:g} pixels are larger than the picture")
        redrawn = draw_changes(translator, page, blocks, (source, answer), "page")
        update(page, blocks, redrawn)
        return Image.fromarray(redrawn.pixels), page, [f"block {note}" for note in redrawn.notes]

    return redraw


def _token(options: argparse.Namespace) -> str:
    if options.token_file is None:
        return os.environ.get(TOKEN, "").strip()
    try:
        token = options.token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{options.token_file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not token:
        raise UserError(f"{options.token_file}: holds no token")
    return token


def _limits(given: list[str]) -> "Limits":
    from translatotron_v.serve.limits import Limits

    values: dict[str, Any] = {}
    kinds = {name: type(value) for name, value in vars(Limits()).items()}
    for text in given:
        name, _, value = text.partition("=")
        if name not in kinds:
            raise UserError(f"--limit {text}: known are {', '.join(kinds)}")
        try:
            values[name] = kinds[name](value)
        except ValueError:
            raise UserError(f"--limit {text}: {value!r} is no {'whole ' * (kinds[name] is int)}number") from None
    return Limits(**values)

"""`info`, `export`, `merge` and `convert`: what is installed and trained, and checkpoints made of checkpoints."""

import argparse
from pathlib import Path

from translatotron_v import __version__
from translatotron_v.commands.options import loading
from translatotron_v.errors import UserError

MERGE_EPILOG = """\
methods
  linear  (1 - W) A + W B, for every weight of the modules that both hold: W=0 is A, W=1 is B
  ties    D + W * change: of what A and B changed of D each keeps its largest share K, every weight takes the sign
          that prevails, and the mean of the changes of that sign (arXiv 2306.01708)

examples
  # a translator tuned on one language, and a quarter of the text-only weights it started from
  translatotron-v merge runs/tuned runs/text -o merged --weight 0.25

  # the same two by ties: what the translator started from, with the largest fifth of what tuning changed
  translatotron-v merge runs/tuned runs/text -o merged --method ties --base runs/text

  # two translators that were tuned from one
  translatotron-v merge runs/french runs/czech -o both --method ties --base runs/start --density 0.3

  # the result is a checkpoint like any other
  translatotron-v translate page.png -o out.png --weights merged
"""


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The four commands."""
    info = commands.add_parser(
        "info",
        help="what is installed; or the parameters of a configuration or a checkpoint",
        description="Without an argument: versions, device, weights. With one: its modules and their parameters.",
    )
    info.add_argument(
        "what", nargs="?", metavar="WHAT", help="configuration file (or paper/translator), weights, checkpoint or run"
    )
    info.set_defaults(run=_info)

    export = commands.add_parser(
        "export",
        help="write a trained translator as a folder of half-precision weights",
        description="Write a translator run as a folder that translates anywhere: half-precision weights, settings, "
        "vocabulary.",
    )
    export.add_argument("checkpoint", metavar="RUN", help="run, checkpoint or shipped weights of the stage translator")
    export.add_argument("-o", "--output", metavar="FOLDER", required=True, help="where to write")
    export.add_argument(
        "--matting", metavar="RUN", help="a run of the stage separator to go with it: it then translates whole pages"
    )
    export.add_argument(
        "--onnx", action="store_true", help="write ONNX graphs beside the weights, which run without PyTorch too"
    )
    export.add_argument("--int8", action="store_true", help="with --onnx: graphs of eight bits as well")
    export.add_argument("--force", action="store_true", help="replace an export; its *.md and LICENSE files stay")
    export.set_defaults(run=_export)

    merge = commands.add_parser(
        "merge",
        help="merge the weights of two checkpoints",
        description="Write a translator like A whose weights lie between those of A and B. Modules that B lacks, "
        "settings and vocabulary are those of A.",
        epilog=MERGE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    merge.add_argument("first", metavar="A", help="run, checkpoint or shipped weights of the stage translator")
    merge.add_argument("second", metavar="B", help="another one, of any stage that shares modules with it")
    merge.add_argument("-o", "--output", metavar="C", required=True, help="folder to write")
    merge.add_argument("--method", choices=("linear", "ties"), default="linear", help="how (linear)")
    merge.add_argument(
        "--weight", type=float, metavar="W", help="linear: share of B, 0..1 (0.5); ties: scale of the change (1)"
    )
    merge.add_argument("--density", type=float, metavar="K", help="ties: share of its changes that each keeps (0.2)")
    merge.add_argument("--base", metavar="D", help="ties: what both were tuned from; B where A was tuned from B")
    merge.add_argument("--force", action="store_true", help="replace a checkpoint that stands at C")
    merge.set_defaults(run=_merge)

    convert = commands.add_parser(
        "convert",
        help="bring a checkpoint of an older format up to date",
        description="Write a checkpoint, or all of a run's, in the format that this version reads: settings, tensors "
        "and files under their new names, every number as it was.",
    )
    convert.add_argument("folder", metavar="FOLDER", help="run or checkpoint")
    convert.add_argument("-o", "--output", metavar="FOLDER", help="where to write (in place)")
    convert.set_defaults(run=_convert)


@loading()
def _info(options: argparse.Namespace) -> int:
    from translatotron_v.hub import is_hub_name
    from translatotron_v.shipped import find_config, find_weights, shipped_folder, shipped_weights

    if options.what is None:
        _print_installation()
        return 0
    from translatotron_v.config import load_config

    sizes: dict[str, int] = {}
    path = Path(options.what)
    own = shipped_folder("configs") / path.parts[0] if path.parts else path  # paper/translator is a configuration
    on_hub = is_hub_name(options.what) and not own.exists()
    if path.is_dir() or options.what in shipped_weights() or on_hub:
        from translatotron_v.checkpoint import read_info, resolve
        from translatotron_v.data.vocabulary import Vocabulary

        folder = resolve(find_weights(options.what))
        details = read_info(folder)
        config = load_config(folder / "config.yaml")
        vocabulary = Vocabulary.from_file(folder / "vocabulary.json")
        sizes = {"pieces": len(vocabulary), "characters": vocabulary.character_count}
        plain = [f"{key} {value}" for key, value in details.items() if isinstance(value, str | int | float)]
        print(f"checkpoint {folder}: {', '.join(plain)}")
    else:
        config = load_config(find_config(options.what))

    from translatotron_v.models.parameters import parameter_table

    table = parameter_table(config, **sizes)
    canvas = config.model.canvas
    print(
        f"canvas {canvas.height} x {canvas.width} x {canvas.channels}, "
        f"languages {', '.join(config.model.vocabulary.languages)}"
    )
    print(table)
    return 0


def _print_installation() -> None:
    import platform
    from importlib.metadata import version

    from translatotron_v.arguments import TORCH
    from translatotron_v.engines.choice import choose_device, choose_engine
    from translatotron_v.shipped import shipped_weights

    library = TORCH if choose_engine() == TORCH else "onnxruntime"
    print(f"translatotron-v {__version__}, Python {platform.python_version()}, {library} {version(library)}")
    if library == TORCH:
        import torch

        print(f"device: {choose_device()}, {torch.get_num_threads()} CPU threads")
    else:
        print("device: cpu, without PyTorch")
    for name, folder in shipped_weights().items():
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
        print(f"weights: {name} ({size:.1f} MB, {folder})")


def _export(options: argparse.Namespace) -> int:
    from translatotron_v.shipped import find_weights
    from translatotron_v.training.export import export_run, size_table

    if options.int8 and not options.onnx:
        raise UserError("--int8 is for ONNX graphs; give --onnx, too")
    matting = Path(options.matting) if options.matting else None
    sizes = export_run(
        Path(find_weights(options.checkpoint)), Path(options.output), overwrite=options.force, matting=matting,
        onnx=options.onnx, quantised=options.int8,
    )  # fmt: skip
    print(f"{size_table(sizes)}\nwritten to {options.output}")
    return 0


def _merge(options: argparse.Namespace) -> int:
    from translatotron_v.training.merging import merge_checkpoints

    merged = merge_checkpoints(
        options.first, options.second, options.output, method=options.method, weight=options.weight,
        density=options.density, overwrite=options.force, base=options.base,
    )  # fmt: skip
    print(f"{merged}\nwritten to {merged.folder}")
    return 0


def _convert(options: argparse.Namespace) -> int:
    from translatotron_v.conversion import convert

    written = convert(Path(options.folder), Path(options.output) if options.output else None)
    for folder in written:
        print(f"written to {folder}")
    if not written:
        print(f"{options.folder}: is up to date")
    return 0

"""Does one model from picture to picture keep up with cascades of readers, translators and drawers, and is it smaller?

Every system translates the same pages of Multi30k in four looks, by the same code that finds blocks of text and puts
words back, so that they differ in nothing but reading, translating and drawing.
"""

import argparse
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.harness import QUICK_PAGES, Experiment, run
from experiments.scores import figures, page_ocr
from translatotron_v.arguments import BASELINES, positive
from translatotron_v.errors import UserError
from translatotron_v.evaluation.plots import bar_plot
from translatotron_v.evaluation.report import Cell, Page, as_png, listed, origin, write_whole
from translatotron_v.sheets import contact_sheet
from translatotron_v.training.recipe import Step, summary

if TYPE_CHECKING:
    from PIL import Image

    from translatotron_v.config import Config

END_TO_END = BASELINES[0]
MAIN = Path("weights") / "small"
TARGETS = {"draw": "make text-to-image", "pixels": "make pixels"}  # what trains a system's own model
SETS: dict[str, dict[str, Any]] = {  # name -> arguments of `evaluation.rendering.TestPages`
    "clean": {"pages": "mix", "fonts": ["DejaVuSans"], "backgrounds": ["plain"]},
    "fonts": {"pages": "mix", "backgrounds": ["plain"]},
    "photo": {"pages": "mix", "backgrounds": ["photo"]},
    "layouts": {"pages": "layouts"},
}
LOOKS = {
    "clean": "DejaVu Sans on plain paper",
    "fonts": "the seven families of `small` on plain paper",
    "photo": "the seven families on photographs, all that are bundled",
    "layouts": "menus, forms, tables, screens, ... with captions for sentences, block by block",
}
BATCH = 8  # pages that are translated together
RESAMPLES, SEED = 1000, 12345  # of the bootstrap; the seed is sacrebleu's own
LEVEL, MARK = 0.05, " †"  # of significance
SHOWN = (END_TO_END, "cascade-reader-draw", "cascade-rapidocr-render", "pixels")  # on the sheet, where measured
SAMPLES = 3  # pages of each set on the sheet, among the first `_SEARCHED`
_SEARCHED, _COLUMN, _COLOURS = 50, 200, 128
_MILLION = 1e6

# Modules, as `models.parameters.module_sizes` names them, that a system goes through from strip to strip.
_READER = ("image_encoder", "ctc_head", "font_head")
_TRANSLATION = ("text_encoder", "text_decoder")
_READS = {"reader": _READER, "tit": _READER, "rapidocr": ()}
_DRAWS = {"draw": ("teacher", "image_tokenizer"), "render": ()}


@dataclass
class Results:
    """What was measured.

    Attributes:
        sets: set -> system -> what `score` returns.
        significance: set -> system -> metric ("bleu", "chrf") -> p against the end-to-end model.
        parameters: system -> at inference, in the order of the tables.
    """

    sets: dict[str, dict[str, dict[str, Any]]]
    significance: dict[str, dict[str, dict[str, float]]]
    parameters: dict[str, int]

    def bleu(self, name: str, system: str) -> float:
        """BLEU of a system's pictures on a set."""
        return float(self.sets[name][system]["scores"]["bleu"])

    def behind(self, name: str, system: str) -> float:
        """How many BLEU the end-to-end model is significantly behind a system on a set; 0 where it is not."""
        lead = self.bleu(name, system) - self.bleu(name, END_TO_END)
        return lead if lead > 0 and self.significance[name][system]["bleu"] < LEVEL else 0.0


def more(parser: argparse.ArgumentParser) -> None:
    """Options of its own."""
    parser.add_argument("--split", default="test_2016_flickr", metavar="NAME", help="of the corpus (%(default)s)")
    parser.add_argument("--limit", type=positive, default=0, metavar="N", help="only the first N pages of a set (all)")
    parser.add_argument(
        "--baselines", type=baseline_list, default=BASELINES, metavar="LIST",
        help=f"only these, with commas between them; {END_TO_END} is always there (all: {', '.join(BASELINES)})",
    )  # fmt: skip


def baseline_list(text: str) -> tuple[str, ...]:
    """Names of systems with commas between them, in the order of `BASELINES`, the end-to-end model always first."""
    names = [name for part in text.split(",") if (name := part.strip())]
    for name in names:
        if name not in BASELINES:
            raise argparse.ArgumentTypeError(f"{name!r} is no baseline: choose from {', '.join(BASELINES)}")
    return tuple(name for name in BASELINES if name in (END_TO_END, *names))


def body(experiment: Experiment) -> None:
    """Take what has not been measured yet, and write the page and its pictures."""
    chosen = experiment.options
    if experiment.quick:
        chosen.limit = experiment.limited(chosen.limit or QUICK_PAGES)
    weights = {system: own_weights(system) for system in chosen.baselines}
    results = measured(experiment, weights)
    make_page(experiment, results).write()
    print(f"written to {experiment.page}")


# --- measurements -----------------------------------------------------------------------------------------------------


def own_weights(system: str) -> Path:
    """The run of a system's own model, or the end-to-end model's weights where it has none.

    Raises:
        UserError: it has not been trained to the end.
    """
    from translatotron_v.baselines import PIXELS, TEXT_TO_IMAGE
    from translatotron_v.checkpoint import INFO_FILE

    drawer = system.rpartition("-")[2]
    folder = Path({"draw": TEXT_TO_IMAGE, "pixels": PIXELS}.get(drawer, MAIN))
    if drawer in TARGETS and not any((folder / name / INFO_FILE).is_file() for name in (".", "final")):
        raise UserError(
            f"{folder}: no finished run; `{TARGETS[drawer]}` trains it, or leave {system} out by --baselines"
        )
    return folder


def measured(experiment: Experiment, weights: Mapping[str, Path]) -> Results:
    """All measurements, from their files where nothing has changed; ``weights`` are the systems' own."""
    chosen = experiment.options
    pages = (experiment.data, chosen.split, chosen.limit)
    # the first system alone, so that OCR remembers the references for all others
    tasks = [
        ([MAIN, own], f"{name}-{system}", score, system, look, *pages, str(experiment.folder / name))
        for system, own in weights.items()
        for name, look in SETS.items()
    ]
    values = experiment.measure(tasks[: len(SETS)]) | experiment.measure(tasks[len(SETS) :])
    found = {name: {system: values[f"{name}-{system}"] for system in weights} for name in SETS}
    sizes = {system: own_parameters(system, own) for system, own in weights.items()}
    return Results(found, {name: significance(of_set) for name, of_set in found.items()}, sizes)


def score(
    main: Path, own: Path, system: str, look: Mapping[str, Any], data: str, split: str, limit: int, folder: str
) -> dict[str, Any]:
    """Translate a set of pages by a system, and score it; an interrupted run goes on.

    Args:
        main: the end-to-end model's weights.
        own: those of the system's own model; `main` again where it has none.
        system: one of `BASELINES`.
        look: of the pages.
        data, split, limit: the corpus, what of it, and how many of its pairs; 0 takes all.
        folder: of the set: OCR remembers there what it read; below it, pictures and whole report of each system.

    Returns:
        What `scores.figures` returns, and "read" on the pictures and "references" page by page, and "notes".
    """
    from translatotron_v.baselines import baseline
    from translatotron_v.evaluation import checkpoint
    from translatotron_v.evaluation.loading import TranslatorModel
    from translatotron_v.evaluation.rendering import TestPages
    from translatotron_v.inference.pipeline import Translator

    other = "" if own == main else own
    translator = Translator.from_pretrained(main, device="cpu", threads=1, baseline=baseline(system, other))
    model, out = TranslatorModel(translator, main.name), Path(folder) / system
    model.config.data.folder = data
    options = checkpoint.Options(
        split, limit, batch_size=BATCH, lower_case=False, quiet=True, test_pages=TestPages(**look)
    )
    pages = checkpoint.render_split(model.config, split, limit, test_pages=options.test_pages)
    report = checkpoint.score_checkpoint(model, pages, page_ocr(folder), out, options)
    report.settings |= origin(f"experiments.comparison, {system}")
    report.write(out, checkpoint.sheet_pictures(pages, out), checkpoint.TITLES)
    read, references = ([row[key] for row in report.rows] for key in ("read on the picture", "reference"))
    return {**figures(report), "read": read, "references": references, "notes": report.notes}


def significance(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Paired bootstrap resampling (Koehn 2004) of every system against the end-to-end model, as sacrebleu does it.

    Args:
        found: system -> "read" and "references", texts page by page.

    Returns:
        System -> metric ("bleu", "chrf") -> p. It is 1 where two scores are equal: of differences that are all zero
        sacrebleu would make its smallest p.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.significance import PairedTest

    baselines = [END_TO_END, *(system for system in found if system != END_TO_END)]
    if len(baselines) == 1:
        return {}
    os.environ["SACREBLEU_SEED"] = str(SEED)  # sacrebleu takes it from nowhere else
    metrics = {"bleu": BLEU(force=True), "chrf": CHRF()}  # with case, as the scores are
    texts = [(system, found[system]["read"]) for system in baselines]
    references = [found[END_TO_END]["references"]]
    columns: Any = PairedTest(texts, metrics, references, test_type="bs", n_samples=RESAMPLES)()[1]
    tested: dict[str, dict[str, float]] = {system: {} for system in baselines[1:]}
    for metric, (base, *results) in zip(metrics, list(columns.values())[1:], strict=True):  # the first names systems
        for system, result in zip(tested, results, strict=True):
            tested[system][metric] = 1.0 if math.isclose(result.score, base.score) else float(result.p_value)
    return tested


def own_parameters(system: str, own: Path) -> int:
    """Parameters of a system with the sizes of its own model."""
    from translatotron_v.checkpoint import resolve
    from translatotron_v.config import load_config
    from translatotron_v.data.vocabulary import Vocabulary

    config, vocabulary = load_config(MAIN / "config.yaml"), Vocabulary.from_file(MAIN / "vocabulary.json")
    model = load_config(resolve(own) / "config.yaml").model
    parts = {name: getattr(model, name) for name in ("teacher", "teacher_encoder", "teacher_decoder", "pixel_baseline")}
    sized = replace(config, model=replace(config.model, **parts))
    return inference_parameters(system, sized, len(vocabulary), vocabulary.character_count)


def inference_parameters(system: str, config: "Config", pieces: int, characters: int) -> int:
    """Parameters that a system needs to translate a picture, each counted once.

    What finds lines of text and takes them off their background serves all systems alike and is not counted. Neither is
    the codebook, which no gradient trains. Those of rapidocr's recognition are its file's bytes divided by four.

    Args:
        system: one of `BASELINES`.
        config: sizes of all modules.
        pieces, characters: sizes of the two vocabulary tables.
    """
    from translatotron_v.models.parameters import module_sizes

    if system == "pixels":
        return module_sizes(replace(config, stage="pixel_baseline"))[0].parameters
    if system == END_TO_END:
        modules = (*_READER, *_TRANSLATION, "character_encoder", "image_decoder", "image_tokenizer")
    else:
        _, reads, draws = system.split("-")
        modules = (*_READS[reads], *_TRANSLATION, *_DRAWS[draws])
    sizes = {row.name: row.parameters for row in module_sizes(config, pieces, characters)}
    engine = 0
    if "-rapidocr-" in system:
        package = find_spec("rapidocr")
        folders = package.submodule_search_locations if package else None
        found = [path for folder in folders or () for path in Path(folder).glob("models/*_rec_*.onnx")]
        if not found:
            raise UserError("rapidocr's rec model is not where its package has it: pip install 'rapidocr>=3.9'")
        engine = found[0].stat().st_size // 4
    return engine + sum(sizes.get(name, 0) for name in modules)


# --- the page ---------------------------------------------------------------------------------------------------------


def verdict(results: Results) -> str:
    """The first sentence of the page: what the paper claims of cascades, from the figures.

    The claim: the end-to-end model matches or beats a cascade in BLEU, with fewer parameters. It matches where it is
    not behind with p < .05.
    """
    own = results.parameters[END_TO_END]
    cascades = [system for system in results.parameters if system.startswith("cascade-")]
    lost = {system: {name: results.behind(name, system) for name in results.sets} for system in cascades}
    matched = [system for system in cascades if not any(lost[system].values())]
    smaller = [system for system in cascades if own < results.parameters[system]]
    both = [system for system in matched if system in smaller]
    count, sets = len(cascades), len(results.sets)
    size = f"{own / _MILLION:.1f} M parameters"
    if count and len(both) == count:
        return (
            f"Reproduced: with {size}, fewer than any of the {count} cascades, the end-to-end model matches or beats "
            f"all of them in BLEU of the pictures, on all {sets} sets."
        )
    parts = [
        f"the end-to-end model ({size}) matches or beats {len(matched)} of {count} cascades in BLEU on all {sets} sets"
    ]
    if worst := max(((gap, system, name) for system in lost for name, gap in lost[system].items()), default=None):
        gap, system, name = worst
        parts.append(f"it is behind {system} by {gap:.1f} on the set {name}" if gap else "it is nowhere behind")
    fewer, held = (", ".join(names) or "none of them" for names in (smaller, both))
    word = "Partly" if both else "Not reproduced"
    return f"{word}: {'; '.join(parts)}; it has fewer parameters than {fewer}. Both hold against {held}."


def make_page(experiment: Experiment, results: Results) -> Page:
    """The whole page, not yet written, and its pictures, which are."""
    from translatotron_v.checkpoint import resolve
    from translatotron_v.config import load_config

    counted = {name: len(found[END_TO_END]["references"]) for name, found in results.sets.items()}
    pages = ", ".join(f"{name} {count:,}" for name, count in counted.items())
    data = (
        f"{Path(experiment.data).name} `{experiment.options.split}`, German to English, true case, pages in each set: "
        f"{pages}; seed 0 of the pages, {SEED} of the bootstrap"
    )
    report = experiment.report("One model against cascades", verdict(results), data)
    report.text(EXPLAINED)
    others = [own for own in dict.fromkeys(map(own_weights, results.parameters)) if own != MAIN]
    if others:
        steps = [Step(own.name, own, load_config(resolve(own) / "config.yaml", [f"run={own}"])) for own in others]
        report.text(f"The systems' own models:\n\n```\n{summary(steps)}\n```")
    for name, found in results.sets.items():
        report.section(f"Set “{name}”: {LOOKS[name]}")
        report.table(*set_table(results, name))
        report.text(" ".join(dict.fromkeys(note for value in found.values() for note in value["notes"])))
    report.text(COLUMNS)
    groups = {
        system.removeprefix("cascade-").replace("-", "\n"): {name: results.bleu(name, system) for name in results.sets}
        for system in results.parameters
    }
    plot = bar_plot(experiment.picture("bleu.png"), groups, "BLEU of the pictures")
    report.figure(plot, "BLEU of the pictures by system and set")
    report.section("Samples", f"The first {SAMPLES} pages of each set that have a source and a reference; none picked.")
    report.figure(samples(experiment, results), "Source, pictures of some systems, reference")
    discussion = experiment.picture("discussion.md")
    if discussion.is_file():
        text = discussion.read_text(encoding="utf-8")
        report.section("Where the end-to-end model loses, and why", text)
    signatures = next(iter(results.sets.values()))[END_TO_END]["signatures"]
    report.section("Signatures", listed(f"{name}: `{signature}`" for name, signature in signatures.items()))
    return report


def set_table(results: Results, name: str) -> tuple[list[str], list[list[Cell]]]:
    """Header and rows of a set."""
    header = ["system", "parameters, M", "BLEU", "p", "Structure-BLEU", "one-to-one", "SSIM", "chrF", "p ",
              "CER to own text, %", "CPU-seconds"]  # fmt: skip
    rows: list[list[Cell]] = []
    for system, value in results.sets[name].items():
        scores, p = value["scores"], results.significance[name].get(system, {})
        tested = {metric: f"{p[metric]:.3f}{MARK if p[metric] < LEVEL else ''}" for metric in p}
        structure = [scores.get("structure_bleu"), scores.get("structure_bleu_one_to_one")]
        alike = f"{scores['ssim']:.3f}" if "ssim" in scores else None
        error = 100 * scores["own_cer"] if "own_cer" in scores and system != "pixels" else None
        texts = [scores["bleu"], tested.get("bleu"), *structure, alike, scores["chrf"], tested.get("chrf")]
        rows.append([system, results.parameters[system] / _MILLION, *texts, error, scores["cpu_seconds"]])
    best = results.sets[name][END_TO_END]["ceilings"]
    error = 100 * best["own_cer"] if "own_cer" in best else None
    rows.append(["OCR ceiling", None, best["bleu"], None, None, None, None, best["chrf"], None, error, None])
    return header, rows


def samples(experiment: Experiment, results: Results) -> Path:
    """The sheet: source, what some systems made of it, reference."""
    from translatotron_v.config import load_config
    from translatotron_v.evaluation.generation import to_image
    from translatotron_v.evaluation.rendering import TestPages, render_split
    from translatotron_v.inference.pictures import open_picture

    config, chosen = load_config(MAIN / "config.yaml"), experiment.options
    config.data.folder = experiment.data
    shown = [system for system in SHOWN if system in results.parameters]
    rows: list[list[Image.Image | None]] = []
    for name, look in SETS.items():
        searched = min(chosen.limit or _SEARCHED, _SEARCHED)
        pages = list(enumerate(render_split(config, chosen.split, searched, test_pages=TestPages(**look))))
        whole = [(i, one.source_page, one.reference_page) for i, one in pages]
        for index, source, target in [one for one in whole if one[1] is not None and one[2] is not None][:SAMPLES]:
            made = [experiment.folder / name / system / "generated" / f"{index:05d}.png" for system in shown]
            drawn = [open_picture(path) if path.is_file() else None for path in made]
            rows.append([to_image(source), *drawn, to_image(target)])
    path = experiment.picture("samples.png")
    write_whole(path, as_png(contact_sheet(rows, ["source", *shown, "reference"], _COLUMN), _COLOURS))
    return path


EXPLAINED = """\
All systems translate the same pages (`--pages mix`: 192 x 640 pixels, one paragraph of 10 to 28 pixels per em, colours
that stay readable; for the last set `--pages layouts`) by the same code that finds blocks, takes ink off its background
and puts words back. They differ in what lies between.

- **end-to-end**: `small` as it is. It writes the translated text, and draws it in image tokens from the states of that
  text and of the source picture.
- **cascade-READER-DRAWER**: the source is read by our CTC reader (*reader*) or by rapidocr's recognition (*rapidocr*),
  and its text translated by `small` in text mode; or `small` translates image to text in one step (*tit*). Then that
  text alone is drawn by our text-to-image model (*draw*) or typeset in the nearest font (*render*).
- **pixels**: a Transformer from pixels to pixels, without text or image tokens (after Tian et al. 2023)."""
COLUMNS = f"""\
Parameters are those of the modules that a system goes through from strip to strip, the codebook aside, which no
gradient trains. Those of rapidocr's recognition are the size of its file divided by four. BLEU and chrF: the pictures,
read by rapidocr, against the reference texts; it also reads the sources of the rapidocr cascades. Structure-BLEU as the
paper has it, and with one-to-one matches, where each surplus box counts as wrong. CER: the pictures against the text
that the system meant to draw, of which pixels has none. CPU-seconds are those of a picture in batches of {BATCH}, of
one thread beside other measurements. p: paired bootstrap resampling (Koehn 2004) against end-to-end, {RESAMPLES:,}
resamples, by sacrebleu; †: p < .05. The ceiling is what OCR reads on the
reference pages themselves."""


if __name__ == "__main__":
    sys.exit(run("comparison", __doc__, body, more=more))

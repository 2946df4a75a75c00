"""The whole chain learns: four short stages on 656 phrases, then 64 phrases that it has never seen.

The settings are those of ``configs/debug``; everything is counted in steps. About 95 CPU-seconds,
60 of them in the last stage.
"""

from collections import Counter
from pathlib import Path

import pytest
import torch

from data_synth.corpora import TextPair
from data_synth.grammar import grammar_pairs
from translatotron_v.config import Config, load_config
from translatotron_v.data.pages import Batch, fitting
from translatotron_v.data.pairs import fold
from translatotron_v.decoding.text import Generated, generate
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.metrics.text import cer
from translatotron_v.training.build import build_stage
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.sheets import picture_error_rate
from translatotron_v.training.stages.tokenizer import TokenizerStage
from translatotron_v.training.stages.translator import TranslatorStage
from translatotron_v.training.trainer import Trainer

CONFIGS = Path(__file__).parents[2] / "configs" / "debug"
ASKED = GenerationConfig("de", "en")
WORDS, PHRASES, HELD_OUT = 60, 720, 64


def phrases(config: Config) -> list[TextPair]:
    """Short sentences of the built-in grammar over its most frequent words, such as "drei autos sind neu."."""

    def fits(pair: TextPair) -> bool:
        folded = TextPair(fold(pair.source, config.page), fold(pair.target, config.page))
        return bool(fitting([folded], config))

    def some(count: int, keep) -> list[TextPair]:
        kinds = {"templates": ("adjective",), "max_words": 4, "distinct": True}
        return grammar_pairs("de", "en", count, seed=1, keep=keep, **kinds)

    counts = Counter(word for pair in some(1500, fits) for word in pair.source.lower().split())
    known = {word for word, _ in counts.most_common(WORDS)}
    return some(PHRASES, lambda pair: set(pair.source.lower().split()) <= known and fits(pair))


def write(folder: Path, split: str, pairs: list[TextPair]) -> None:
    folder.mkdir(exist_ok=True)
    for language, texts in (("de", [p.source for p in pairs]), ("en", [p.target for p in pairs])):
        (folder / f"{split}.{language}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def settings(name: str, folder: Path) -> Config:
    """``configs/debug`` with its runs below a folder of the test's."""
    path = CONFIGS / f"{name}.yaml"
    moved = [f"data.folder={folder / 'corpus'}", "trainer.device=cpu", "trainer.threads=1"]
    config = load_config(path, moved)
    moved += [f"start.{module}={folder / Path(origin).name}" for module, origin in config.start.items()]
    if config.vocabulary:
        moved.append(f"vocabulary={folder / Path(config.vocabulary).name}")
    return load_config(path, [*moved, f"run={folder / name}"])


def score(stage: TranslatorStage) -> tuple[Generated, Batch, dict[str, float]]:
    """Translate the held-out phrases and compare."""
    stage.eval()
    [batch] = stage.validation_batches(HELD_OUT)
    made = generate(stage.translator, stage.vocabulary, batch.source_pixels, ASKED)
    gold = [sample.target for sample in stage.validation]
    drawn = generate(stage.translator, stage.vocabulary, batch.source_pixels, ASKED, texts=gold)
    with torch.no_grad():
        tokens = stage.translator.image_tokenizer.encode_to_ids(batch.target_pixels)
    figures = {
        "exact": sum(text == other for text, other in zip(made.texts, gold, strict=True)) / HELD_OUT,
        "reading": cer(made.sources, [sample.source for sample in stage.validation]).value,
        "tokens": (made.image_ids == tokens).float().mean().item(),
        "tokens of given texts": (drawn.image_ids == tokens).float().mean().item(),
    }
    return made, batch, figures


def test_the_whole_chain_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(TranslatorStage, "evaluate", lambda self, step: Evaluation({}))  # it is scored below
    monkeypatch.setattr(TokenizerStage, "evaluate", lambda self, step: Evaluation({}))
    pairs = phrases(settings("model", tmp_path))
    assert len(pairs) == PHRASES
    write(tmp_path / "corpus", "val", pairs[:HELD_OUT])
    write(tmp_path / "corpus", "train", pairs[HELD_OUT:])

    metrics = {}
    for name in ("text", "reader", "tokenizer"):
        config = settings(name, tmp_path)
        metrics[name] = Trainer(build_stage(config), config.trainer, tmp_path / name).fit()
    assert metrics["text"]["bleu"] > 85
    assert metrics["reader"]["cer"] < 0.55

    config = settings("translator", tmp_path)
    stage = build_stage(config)
    assert isinstance(stage, TranslatorStage)
    _, _, before = score(stage)
    Trainer(stage, config.trainer, tmp_path / "translator").fit()
    made, batch, after = score(stage)

    assert before["exact"] == 0 and before["tokens"] < 0.3 and before["tokens of given texts"] < 0.3
    assert after["exact"] >= 0.7
    assert after["reading"] <= 0.15
    assert after["tokens of given texts"] >= 0.8
    assert after["tokens"] >= 0.7

    # The pictures can be read, and say what the model meant to say.
    assert picture_error_rate(list(made.pixels[:16]), made.texts) <= 0.25
    # Nothing of this comes out of a blank page.
    blank = generate(stage.translator, stage.vocabulary, torch.ones_like(batch.source_pixels), ASKED)
    gold = [sample.target for sample in stage.validation]
    assert sum(text == other for text, other in zip(blank.texts, gold, strict=True)) <= 0.1 * HELD_OUT

"""Answers for a model that reads with placeholders: what it writes and draws of readings whose literals are masked.

Which placeholder stands for which literal is known only when a page has been read, so the answers are made after that,
as ``data/pages.py`` makes them beforehand for models without marks.

Shapes: B batch, T pieces, C characters.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import torch

from translatotron_v.data import literals
from translatotron_v.data.marks import LITERALS
from translatotron_v.data.pages import Batch, pad
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.decoding.text_mode import Prepared


def masked_answers(
    batch: Batch, sentences: Sequence[Prepared], vocabulary: Vocabulary, longest: int, longest_drawing: int
) -> Batch:
    """The batch with text mode's input and the answers as its readings have them.

    Args:
        batch: with ``texts``, and two tags in front of each answer.
        sentences: what was read on its pages, folded and masked.
        longest: pieces that text encoder and decoder take, tags and end included.
        longest_drawing: characters that the drawer takes.
    """
    assert batch.texts is not None and batch.target_input is not None
    device = batch.target_input.device
    given, wanted, characters, char_to_token = [], [], [], []
    for (answer, drawn), sentence, row in zip(batch.texts, sentences, batch.target_input.tolist(), strict=True):
        tags = row[:2]
        masked = literals.place(sentence.literals, answer)
        ids = vocabulary.encode(masked)[: longest - len(tags)]
        given.append([*tags, *ids])
        wanted.append([PAD, *ids, EOS])
        spelled = spelled_out(vocabulary.spell(ids), literal_texts(masked, answer))
        written = "".join(text for text, _ in spelled)
        shown = drawn if drawn.casefold().startswith(written.casefold()) and len(drawn) == len(answer) else written
        signs = list(zip(shown, (owner for _, owner in spelled), strict=False))[:longest_drawing]
        characters.append(vocabulary.encode_characters(sign for sign, _ in signs))
        char_to_token.append([owner + len(tags) - 1 for _, owner in signs])
    read = [vocabulary.encode(sentence.text)[: longest - 1] for sentence in sentences]
    target_output = pad(wanted).to(device)
    place = torch.arange(target_output.shape[1], device=device)
    return replace(
        batch,
        source_pieces=pad([[*ids, EOS] for ids in read]).to(device),
        target_input=pad(given).to(device),
        target_output=target_output,
        translation_mask=(place >= 1) & (target_output != PAD),
        target_characters=None if batch.target_characters is None else pad(characters).to(device),
        char_to_token=None if batch.char_to_token is None else pad(char_to_token).to(device),
    )


def literal_texts(masked: str, plain: str) -> list[str]:
    """What the placeholders of a masked text stand for in the plain one, in the order of the text."""
    marks = "".join(LITERALS)
    pattern = "".join("(.+?)" if part in LITERALS else re.escape(part) for part in re.split(f"([{marks}])", masked))
    found = re.fullmatch(pattern, plain, re.DOTALL)
    if found is None:
        raise ValueError(f"{masked!r} is no masked form of {plain!r}")
    return list(found.groups())


def spelled_out(pieces: Sequence[str], texts: Sequence[str]) -> list[tuple[str, int]]:
    """The characters of an answer's pieces, each with the number of its piece; placeholders as the texts they are."""
    waiting = iter(texts)
    return [
        (sign, number)
        for number, piece in enumerate(pieces)
        for part in piece
        for sign in (next(waiting, "") if part in LITERALS else part)
    ]

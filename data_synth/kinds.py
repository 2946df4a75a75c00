"""Texts to be read, by kind: what the table of `evaluate.py reading` is about."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data_synth.literals import draw_literal

# Names of people and places that are no part of any training list.
_FIRST = re.findall(
    r"\S+",
    "Jörg Zoë Friederike Ľubica Matěj Ștefan Ioana Élodie Noël Wojciech Aylin Quentin Božena Hüseyin Mairéad Sören "
    "Xaver Þóra Ödön Çiğdem",
)
_LAST = re.findall(
    r"\S+",
    "Krüger-Weiß O'Brien Dvořáková Țepeneag Lefèvre Żak Großmann McAllister Åkesson Yıldız Vörösmarty Quast Hašek "
    "Ibănescu Nuñez Jakobsdóttir Šťastný",
)
_PLACES = (
    "Gößweinstein", "Český Krumlov", "Târgu Mureș", "Châlons-en-Champagne", "Bad Oeynhausen", "Łódź", "Zwickau",
    "Üxheim", "Kroměříž", "Besançon", "Brașov", "Hjørring", "Göttingen", "Quedlinburg", "Wyk auf Föhr",
)  # fmt: skip
_UMLAUTS = frozenset("äöüÄÖÜß")
_MARKS = frozenset(",;:!?()\"'„“”‚‘’«»–—…/&-.")


class TextsByKind:
    """Draws texts of a kind; every draw is a function of the generator that it is given.

    Args:
        texts: sentences by domain; captions and everyday sentences come from theirs where there are any, all else from
            all of them.
    """

    def __init__(self, texts: Mapping[str, Sequence[str]]):
        self.all = [text for own in texts.values() for text in own]
        words = [word.strip("".join(_MARKS)) for text in self.all for word in text.split()]
        self.words = sorted({word for word in words if len(word) > 2 and word.isalpha()})
        self.umlauts = [word for word in self.words if _UMLAUTS & set(word)]
        self.pointed = sorted(self.all, key=lambda text: -sum(letter in _MARKS for letter in text) / (len(text) + 20))
        self.pointed = self.pointed[: max(len(self.pointed) // 10, 1)]
        self.makers: dict[str, Callable[[np.random.Generator], str]] = {
            "captions": lambda rng: self._pick(texts.get("captions") or self.all, rng),
            "everyday": lambda rng: self._pick(texts.get("everyday") or self.all, rng),
            "umlaut words": lambda rng: self._several(self.umlauts or self.words, 3, 9, rng),
            "literals": lambda rng: " ".join(draw_literal(rng) for _ in range(int(rng.integers(2, 9)))),
            "capitals": lambda rng: " ".join(self._pick(self.all, rng).upper().split()[:14]),
            "punctuation": lambda rng: f"{self._pick(self.pointed, rng)} {self._pick(self.pointed, rng)}",
            "single words": lambda rng: self._pick(self.words, rng),
            "names": self._names,
        }

    @property
    def kinds(self) -> list[str]:
        """Their names."""
        return list(self.makers)

    def draw(self, kind: str, rng: np.random.Generator) -> str:
        """A text of a kind."""
        return self.makers[kind](rng)

    @staticmethod
    def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
        return choices[int(rng.integers(len(choices)))]

    def _several(self, choices: Sequence[str], least: int, most: int, rng: np.random.Generator) -> str:
        return " ".join(self._pick(choices, rng) for _ in range(int(rng.integers(least, most))))

    def _names(self, rng: np.random.Generator) -> str:
        name = f"{self._pick(_FIRST, rng)} {self._pick(_LAST, rng)}"
        return f"{name}, {self._pick(_PLACES, rng)}" if rng.random() < 0.5 else name

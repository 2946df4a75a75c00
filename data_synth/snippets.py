"""What people bring to be read: sentences, fragments, words, names, numbers, prices, dates, addresses, capitals, lists.

A reader that sees whole sentences alone learns that a full stop follows every word, and never learns to read a price.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_synth.render import normalise

# Kinds of text, and how often each is drawn for training.
KINDS: dict[str, float] = {
    "sentences": 0.34,  # as many as fill the lines
    "fragment": 0.2,  # a run of words without a full stop
    "words": 0.1,  # one to three words
    "literals": 0.12,  # numbers, prices, dates and the like, alone or among words
    "capitals": 0.08,
    "title": 0.04,  # Every Word With A Capital
    "spaced": 0.03,  # letters apart
    "list": 0.05,  # items with markers
    "symbols": 0.04,  # any characters of the table, so that none is unknown
}

_END = ".!?…"
_MARKERS = ("•", "–", "-", "·", "*", "►", "■", "✓", "☐", "→")
_UNITS = ("kg", "g", "km", "m", "cm", "mm", "l", "ml", "cl", "W", "kW", "kWh", "V", "A", "Hz", "GB", "MB", "°C", "%", "‰", "m²", "m³",
          "km/h", "Std.", "min", "s", "h", "px", "pt", "dB", "kcal", "kJ", "t", "ha", "Ω", "€/kg", "€/l")  # fmt: skip
_CURRENCIES = ("€", "EUR", "$", "£", "CHF", "Kč", "lei", "¥", "US$")
_DOMAINS = ("de", "com", "org", "net", "eu", "fr", "cz", "ro", "at", "ch", "info", "io", "co.uk")
_MONTHS = ("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember",
           "Jan.", "Feb.", "Apr.", "Aug.", "Sept.", "Okt.", "Nov.", "Dez.", "January", "March", "May", "October", "janvier", "août")  # fmt: skip
_DAYS = (
    "Mo",
    "Di",
    "Mi",
    "Do",
    "Fr",
    "Sa",
    "So",
    "Mon",
    "Tue",
    "Wed",
    "Thu",
    "Fri",
    "Sat",
    "Sun",
    "Montag",
    "Freitag",
    "Mo.",
    "Sa.",
)


@dataclass(frozen=True)
class Snippet:
    """A text to be drawn.

    Attributes:
        text: single spaces.
        kind: one of ``KINDS``.
        tracking: space between its letters beyond the font's, ems.
    """

    text: str
    kind: str
    tracking: float = 0.0


def draw_snippet(
    sentence: Callable[[], str], rng: np.random.Generator, characters: Sequence[str] = (), kind: str = ""
) -> Snippet:
    """Draw a text for a strip of up to three lines; it may be longer than what fits.

    Args:
        sentence: gives another sentence of some corpus each time.
        rng: draws everything else.
        characters: those that kind "symbols" draws from.
        kind: one of ``KINDS``; by its share where not given.
    """
    if not kind:
        names = list(KINDS)
        kind = names[int(np.searchsorted(np.cumsum(list(KINDS.values())), rng.random() * sum(KINDS.values())))]
    if kind == "symbols" and not characters:
        kind = "sentences"
    tracking = 0.0
    words = normalise(sentence()).split()
    if kind == "sentences":
        most = int(rng.integers(1, 30))
        while len(words) < most:
            words += normalise(sentence()).split()
    elif kind == "fragment":
        words = _without_end(_run(words, int(rng.integers(2, 16)), rng))
    elif kind == "words":
        words = _without_end(_run(words, int(rng.integers(1, 4)), rng))
    elif kind == "literals":
        words = _with_literals(words, rng)
    elif kind == "capitals":
        words = [upper(word) for word in _maybe_without_end(_run(words, int(rng.integers(1, 16)), rng), rng)]
    elif kind == "title":
        words = [
            word[:1].upper() + word[1:] for word in _maybe_without_end(_run(words, int(rng.integers(1, 10)), rng), rng)
        ]
    elif kind == "spaced":
        words = _without_end(_run(words, int(rng.integers(1, 5)), rng))
        words = [upper(word) for word in words] if rng.random() < 0.7 else words
        tracking = float(rng.uniform(0.1, 0.4))
    elif kind == "list":
        words = _list(words, sentence, rng)
    elif kind == "symbols":
        words = _sprinkled(_run(words, int(rng.integers(1, 12)), rng), characters, rng)
    if not tracking and rng.random() < 0.12:
        tracking = float(rng.uniform(-0.02, 0.1))
    return Snippet(" ".join(word for word in words if word), kind, tracking)


def upper(word: str) -> str:
    """A word in capitals as signs have it: "ß" stays, for one letter must not become two."""
    return word.replace("ß", "\0").upper().replace("\0", "ß" if "ß" in word else "")


def _run(words: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    """A run of at most so many words."""
    start = int(rng.integers(0, max(len(words) - most, 0) + 1))
    return list(words[start : start + most])


def _without_end(words: Sequence[str]) -> list[str]:
    return [*words[:-1], words[-1].rstrip(_END + ",;:")] if words else []


def _maybe_without_end(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    return _without_end(words) if rng.random() < 0.6 else list(words)


def _with_literals(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Literals among words, or alone."""
    if rng.random() < 0.35:
        return [part for _ in range(int(rng.integers(1, 9))) for part in draw_literal(rng).split()]
    kept = _run(words, int(rng.integers(2, 14)), rng)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(0, len(kept) + 1))
        literal = draw_literal(rng)
        if rng.random() < 0.15:
            literal = f"({literal})"
        elif rng.random() < 0.2:
            literal += str(rng.choice([",", ";", ":", "."]))
        kept[place:place] = literal.split()
    return _maybe_without_end(kept, rng)


def _list(words: Sequence[str], sentence: Callable[[], str], rng: np.random.Generator) -> list[str]:
    sort = int(rng.integers(4))
    marker = str(rng.choice(_MARKERS))
    items: list[str] = []
    for number in range(1, int(rng.integers(2, 6))):
        mark = (marker, f"{number}.", f"{number})", f"{chr(96 + number)})")[sort]
        items += [mark, *_maybe_without_end(_run(words, int(rng.integers(1, 6)), rng), rng)]
        words = normalise(sentence()).split()
    return items


def _sprinkled(words: Sequence[str], characters: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Words with characters from the whole table among their letters and between them."""
    mixed = list(words)
    for _ in range(int(rng.integers(2, 12))):
        place = int(rng.integers(0, len(mixed) + 1))
        letters = "".join(rng.choice(list(characters), int(rng.integers(1, 4))))
        if mixed and place < len(mixed) and rng.random() < 0.5:
            cut = int(rng.integers(0, len(mixed[place]) + 1))
            mixed[place] = mixed[place][:cut] + letters + mixed[place][cut:]
        else:
            mixed.insert(place, letters)
    return " ".join(mixed).split()


def draw_literal(rng: np.random.Generator) -> str:
    """A number, price, date, time, telephone number, address, code or the like."""
    return _LITERALS[int(rng.integers(len(_LITERALS)))](rng)


def _digits(rng: np.random.Generator, least: int, most: int) -> str:
    return "".join(map(str, rng.integers(0, 10, int(rng.integers(least, most + 1)))))


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _letters(rng: np.random.Generator, least: int, most: int, alphabet: str = "abcdefghijklmnopqrstuvwxyz") -> str:
    return "".join(alphabet[i] for i in rng.integers(0, len(alphabet), int(rng.integers(least, most + 1))))


def _number(rng: np.random.Generator) -> str:
    value = int(10 ** rng.uniform(0, 7))
    text = str(value)
    if value >= 1000 and rng.random() < 0.5:
        text = f"{value:,}".replace(",", _pick(rng, (".", ",", "'", " ")))
    if rng.random() < 0.3:
        text += _pick(rng, (",", ".")) + _digits(rng, 1, 3)
    return ("-" if rng.random() < 0.1 else "") + text


def _price(rng: np.random.Generator) -> str:
    value = f"{int(10 ** rng.uniform(0, 3.5))}{_pick(rng, (',', '.'))}{_pick(rng, (_digits(rng, 2, 2), '99', '50', '00', '–', '-'))}"
    currency = _pick(rng, _CURRENCIES)
    return _pick(rng, (f"{value} {currency}", f"{value}{currency}", f"{currency} {value}", f"{currency}{value}"))


def _date(rng: np.random.Generator) -> str:
    day, month, year = int(rng.integers(1, 32)), int(rng.integers(1, 13)), int(rng.integers(1900, 2041))
    return _pick(rng, (
        f"{day}.{month}.{year}", f"{day:02d}.{month:02d}.{year}", f"{day:02d}.{month:02d}.{year % 100:02d}", f"{day}. {month}.",
        f"{year}-{month:02d}-{day:02d}", f"{day:02d}/{month:02d}/{year}", f"{day}. {_pick(rng, _MONTHS)} {year}", f"{year}",
        f"{_pick(rng, _DAYS)}, {day:02d}.{month:02d}.", f"{day}.–{day + 3}. {_pick(rng, _MONTHS)}", f"{month:02d}/{year}", f"{year}/{year % 100:02d}",
    ))  # fmt: skip


def _time(rng: np.random.Generator) -> str:
    hour, minute, later = int(rng.integers(24)), int(rng.choice([0, 0, 15, 30, 45, *range(60)])), int(rng.integers(24))
    sign = _pick(rng, (":", "."))
    clock, end = f"{hour}{sign}{minute:02d}", f"{later}{sign}{int(rng.choice([0, 30])):02d}"
    return _pick(rng, (
        clock, f"{clock} Uhr", f"{clock} - {end}", f"{clock}–{end} Uhr", f"{clock} – {end}", f"{hour}–{later} Uhr", f"{hour} h",
        f"{hour:02d}:{minute:02d}:{int(rng.integers(60)):02d}", f"{_pick(rng, _DAYS)}–{_pick(rng, _DAYS)} {clock}–{end}", f"{hour % 12 + 1} {_pick(rng, ('am', 'pm', 'a.m.', 'p.m.'))}",
    ))  # fmt: skip


def _telephone(rng: np.random.Generator) -> str:
    area, own = _digits(rng, 2, 4), _digits(rng, 4, 8)
    return _pick(rng, (
        f"0{area} {own}", f"0{area}/{own}", f"(0{area}) {own}", f"+49 {area} {own}", f"+49 (0) {area} / {own}", f"0{area}-{own}",
        f"+420 {own[:3]} {own[3:]}", f"Tel. 0{area} {own[:2]} {own[2:4]} {own[4:]}", f"+33 {own[:1]} {own[1:3]} {own[3:]}", f"Tel.: 0{area}/{own}-{_digits(rng, 1, 2)}",
    ))  # fmt: skip


def _address(rng: np.random.Generator) -> str:
    name, host, end = _letters(rng, 3, 9), _letters(rng, 3, 11), _pick(rng, _DOMAINS)
    return _pick(rng, (
        f"www.{host}.{end}", f"https://{host}.{end}/{name}", f"http://www.{host}.{end}", f"{name}@{host}.{end}", f"{name}.{host}@{host}.{end}",
        f"#{name}", f"@{name}{_digits(rng, 0, 3)}", f"{host}.{end}", f"https://{host}.{end}/{name}?id={_digits(rng, 1, 5)}", f"{name}_{host}.{_pick(rng, ('pdf', 'docx', 'jpg', 'txt'))}",
    ))  # fmt: skip


def _code(rng: np.random.Generator) -> str:
    capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    a, b = _letters(rng, 1, 3, capitals), _digits(rng, 1, 5)
    return _pick(rng, (
        f"{a}{b}", f"{a}-{b}", f"{a} {b}", f"{b}{a}", f"{a}-{_letters(rng, 1, 2, capitals)} {b}", f"Nr. {b}", f"No. {b}", f"№ {b}", f"§ {b}", f"Art. {b}",
        f"DE{_digits(rng, 2, 2)} {_digits(rng, 4, 4)} {_digits(rng, 4, 4)} {_digits(rng, 4, 4)}", f"v{b[0]}.{_digits(rng, 1, 2)}.{_digits(rng, 1, 1)}",
        f"{_digits(rng, 5, 5)} {a.capitalize()}{_letters(rng, 3, 8)}", f"{_letters(rng, 3, 8).capitalize()}str. {b[:3]}{_pick(rng, ('', 'a', 'b', ''))}",
        f"{_letters(rng, 4, 8, capitals + '0123456789')}", f"ISBN 978-{b[0]}-{_digits(rng, 5, 5)}-{_digits(rng, 3, 3)}-{_digits(rng, 1, 1)}", f"{b[0]}. OG", f"Gleis {b[:2]}", f"U{b[0]}", f"S{b[0]}",
    ))  # fmt: skip


def _measure(rng: np.random.Generator) -> str:
    unit = _pick(rng, _UNITS)
    number = f"{int(10 ** rng.uniform(0, 3.3))}" + (
        f"{_pick(rng, (',', '.'))}{_digits(rng, 1, 2)}" if rng.random() < 0.35 else ""
    )
    return _pick(rng, (
        f"{number} {unit}", f"{number}{unit}", f"{number} × {_digits(rng, 1, 3)} {unit}", f"{number}x{_digits(rng, 1, 3)} {unit}", f"-{number}{unit}", f"±{number} {unit}", f"{number}–{_digits(rng, 2, 3)} {unit}",
        f"{_digits(rng, 1, 1)}½", f"½ {unit}", f"¼ {unit}", f"¾", f"{_digits(rng, 1, 1)}/{_digits(rng, 1, 1)}", f"{number} %", f"{number}%", f"-{_digits(rng, 2, 2)} %", f"+{number}",
    ))  # fmt: skip


_LITERALS: tuple[Callable[[np.random.Generator], str], ...] = (
    _number, _number, _price, _price, _date, _date, _time, _time, _telephone, _address, _code, _code, _measure, _measure,
)  # fmt: skip

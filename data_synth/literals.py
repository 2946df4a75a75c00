"""Numbers, prices, dates, times, telephone numbers, addresses, codes and measures at random, as signs have them."""

import re
import string
from collections.abc import Sequence

import numpy as np

_UNITS = re.findall(
    r"\S+",
    "kg g km m cm mm l ml cl W kW kWh V A Hz GB MB °C % ‰ m² m³ km/h Std. min s h px pt dB kcal kJ t ha Ω €/kg €/l",
)
_CURRENCIES = re.findall(r"\S+", "€ EUR $ £ CHF Kč lei ¥ US$")
_ENDS = re.findall(r"\S+", "de com org net eu fr cz ro at ch info io co.uk")
_MONTHS = re.findall(
    r"\S+",
    "Januar Februar März April Mai Juni Juli August September Oktober November Dezember Jan. Feb. Apr. Aug. Sept. Okt. "
    "Nov. Dez. January March May October janvier août",
)
_DAYS = re.findall(r"\S+", "Mo Di Mi Do Fr Sa So Mon Tue Wed Thu Fri Sat Sun Montag Freitag Mo. Sa.")

# What is drawn: one of the kinds, then one of its forms. Names in braces are filled by `_fields`.
_KINDS: dict[str, tuple[float, str]] = {
    "number": (
        2,
        "{number}|{number}|{number},{d2}|{number}.{d1}|-{number}|+{number}|{d1}½|½|¼|¾|{d1}/{d1b}",
    ),
    "price": (
        2,
        "{price} {currency}|{price}{currency}|{currency} {price}|{currency}{price}|{small} {currency}"
        "|{small}{currency}",
    ),
    "date": (
        2,
        "{day}.{month}.{year}|{day:02d}.{month:02d}.{year}|{day:02d}.{month:02d}.{d2}|{day}. {month}."
        "|{day}. {name} {year}|{year}-{month:02d}-{day:02d}|{day:02d}/{month:02d}/{year}|{year}"
        "|{week}, {day:02d}.{month:02d}.|{day}. {name}|{day}.–{later}. {name}|{month:02d}/{year}|{year}/{d2}",
    ),
    "time": (
        2,
        "{hour}:{minute:02d}|{hour}.{minute:02d}|{hour}:{minute:02d} Uhr|{hour}.{minute:02d} Uhr|{hour} h"
        "|{hour}–{hour2} Uhr|{hour}.{minute:02d} - {hour2}.{half}|{hour}:{minute:02d}–{hour2}:{half}"
        "|{hour:02d}.{minute:02d} – {hour2}.{half} Uhr|{hour:02d}:{minute:02d}:{second:02d}"
        "|{week}–{week2} {hour}–{hour2}|{week}, {hour}.{minute:02d}|{hour12} am|{hour12} p.m.",
    ),
    "telephone": (
        1,
        "0{area} {own}|0{area}/{own}|(0{area}) {own}|+49 {area} {own}|+49 (0) {area} / {own}|0{area}-{own}"
        "|+420 {d3} {d3b} {d3}|Tel. 0{area} {d2} {d2b} {d2}|+33 {d1} {d2} {d2b} {d2}|Tel.: 0{area}/{own}-{d2}",
    ),
    "address": (
        1,
        "www.{host}.{end}|https://{host}.{end}/{word}|http://www.{host}.{end}|{word}@{host}.{end}"
        "|{word}.{host}@{host}.{end}|#{word}|@{word}{d2}|{host}.{end}|https://{host}.{end}/{word}?id={d3}"
        "|{word}_{host}.pdf|{word}.jpg",
    ),
    "code": (
        2,
        "{code}{number}|{code}-{number}|{code} {number}|{number}{code}|{code}-{code2} {d4}|Nr. {d3}|No. {d2}"
        "|№ {d2}|§ {d3}|Art. {d2}|DE{d2} {d4} {d4b} {d4}|v{d1}.{d2}.{d1b}|{d5} {Word}|{Word}str. {d2}"
        "|{Word}str. {d2}a|{serial}|ISBN 978-{d1}-{d5}-{d3}-{d1b}|{d1}. OG|Gleis {d2}|U{d1}|S{d1}",
    ),
    "measure": (
        2,
        "{small} {unit}|{small}{unit}|{small} × {d2} {unit}|{small}x{d2} {unit}|-{small}{unit}|±{d1} {unit}"
        "|{d1}–{d2} {unit}|½ {unit}|{small},{d1} {unit}|{small}.{d2} {unit}|{d2} %|{d2}%|-{d2} %|+{d2}",
    ),
}
_SHARES = np.cumsum([share for share, _ in _KINDS.values()])
_FORMS = [forms.split("|") for _, forms in _KINDS.values()]


def draw_literal(rng: np.random.Generator) -> str:
    """A number, price, date, time, telephone number, address, code or measure."""
    kind = int(np.searchsorted(_SHARES, rng.random() * _SHARES[-1], side="right"))
    return _pick(rng, _FORMS[kind]).format(**_fields(rng))


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _fields(rng: np.random.Generator) -> dict[str, str | int]:
    """Everything that forms may ask for."""
    letters, capitals = string.ascii_lowercase, string.ascii_uppercase
    digits = "".join(map(str, rng.integers(0, 10, 40)))
    small, value = int(10 ** rng.uniform(0, 3.3)), int(10 ** rng.uniform(0, 7))
    grouped = f"{value:,}".replace(",", _pick(rng, (".", ",", "'", " ", "")))
    word = "".join(letters[i] for i in rng.integers(0, 26, int(rng.integers(3, 10))))
    host = "".join(letters[i] for i in rng.integers(0, 26, int(rng.integers(3, 12))))
    code = "".join(capitals[i] for i in rng.integers(0, 26, 5))
    serial = "".join((capitals + string.digits)[i] for i in rng.integers(0, 36, int(rng.integers(4, 9))))
    cents = _pick(rng, (digits[:2], "99", "50", "00", "–", "-"))
    hour, hour2 = (int(number) for number in rng.integers(0, 24, 2))
    day = int(rng.integers(1, 29))
    return {
        "number": grouped,
        "small": small,
        "price": f"{small}{_pick(rng, ',.')}{cents}",
        "currency": _pick(rng, _CURRENCIES),
        "d1": digits[0],
        "d1b": digits[1],
        "d2": digits[2:4],
        "d2b": digits[4:6],
        "d3": digits[6:9],
        "d3b": digits[9:12],
        "d4": digits[12:16],
        "d4b": digits[16:20],
        "d5": digits[20:25],
        "area": digits[25 : 25 + int(rng.integers(2, 5))],
        "own": digits[30 : 30 + int(rng.integers(4, 9))],
        "day": day,
        "later": day + int(rng.integers(1, 4)),
        "month": int(rng.integers(1, 13)),
        "year": int(rng.integers(1900, 2041)),
        "name": _pick(rng, _MONTHS),
        "week": _pick(rng, _DAYS),
        "week2": _pick(rng, _DAYS),
        "hour": hour,
        "hour2": hour2,
        "hour12": hour % 12 + 1,
        "minute": int(rng.integers(60)) if rng.random() < 0.5 else 15 * int(rng.integers(4)),
        "second": int(rng.integers(60)),
        "half": _pick(rng, ("00", "30")),
        "word": word,
        "Word": word.capitalize(),
        "host": host,
        "end": _pick(rng, _ENDS),
        "code": code[: int(rng.integers(1, 4))],
        "code2": code[3:],
        "serial": serial,
        "unit": _pick(rng, _UNITS),
    }

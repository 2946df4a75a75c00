"""How bytes and values are damaged, by a seeded choice."""

import random
from typing import Any


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut, repeated, moved or put in, here and there."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(len(data) or 1)
        length = min(chance.choice((1, 2, 4, 16, 256)), len(data) - place)
        kind = chance.randrange(7)
        if kind == 0:
            data[place : place + length] = chance.randbytes(length)
        elif kind == 1 and chance.random() < 0.5:
            del data[place:]
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = data[place : place + length] * chance.choice((1, 2, 50))
        elif kind == 4:
            data[place : place + length] = bytes([chance.choice((0, 255, 127))]) * length
        elif kind == 5:
            data[place:place] = chance.randbytes(length)
        elif data:
            head = chance.randrange(min(len(data), 64))
            data[head] ^= 1 << chance.randrange(8)
    return bytes(data)


def mutate_values(value: Any, chance: random.Random) -> Any:
    """JSON values with one of them changed for another of any kind, left out, or put somewhere else."""
    odd = [None, True, -1, 0, 1e300, float("nan"), 2**70, "", "x" * 5000, "\ud800", [], {}, [[]], {"": 0}, [1] * 200]
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        if chance.random() < 0.1:
            return {key: one for key, one in value.items() if key != name}
        return value | {name: mutate_values(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        if chance.random() < 0.1:
            return value[:place] + value[place + 1 :]
        return [*value[:place], mutate_values(value[place], chance), *value[place + 1 :]]
    if isinstance(value, int | float) and not isinstance(value, bool) and chance.random() < 0.6:
        return value * chance.choice((-1, 0, 0.5, 3, 1000)) + chance.choice((0, 1))
    return chance.choice(odd)

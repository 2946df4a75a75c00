"""What the shipped weights make of twenty pictures, to the letter and to the image token.

Moving code about must not change a single one. `python -m tests.test_shipped_outputs` writes the table anew, for new
weights or for a change that is meant; the difference then says what it did.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from translatotron_v.inference.pipeline import Translator
from translatotron_v.shipped import shipped_weights

TABLE = Path(__file__).with_suffix(".json")
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PICTURES = [*(f"source/0{number}.png" for number in range(1, 9)), "pages/sign.jpg", "pages/small.jpg"]
WEIGHTS = ("tiny", "small")  # strips, and whole pages: to one a picture is a strip, in the other blocks are found


def outputs(name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Picture -> what was read, what was written, and a digest of the image tokens of all its strips."""
    translator = Translator.from_pretrained(name, device="cpu", threads=1)
    tokenizer = translator.loaded.model.image_tokenizer
    decode, drawn = tokenizer.decode_from_ids, []

    def watched(ids):
        drawn.extend(ids.tolist())
        return decode(ids)

    tokenizer.decode_from_ids = watched
    for picture in PICTURES:
        drawn.clear()
        translation = translator(EXAMPLES / picture)
        digest = hashlib.sha256(json.dumps(drawn).encode()).hexdigest()[:16]
        yield picture, {"read": translation.source_text, "wrote": translation.text, "tokens": digest}


@pytest.mark.parametrize("name", WEIGHTS)
def test_outputs_are_those_of_the_table(name: str):
    if name not in shipped_weights():
        pytest.skip(f"no weights {name} in this checkout")
    wanted = json.loads(TABLE.read_text(encoding="utf-8"))[name]
    assert set(wanted) == set(PICTURES) and len({entry["tokens"] for entry in wanted.values()}) == len(PICTURES)
    assert dict(outputs(name)) == wanted


if __name__ == "__main__":
    table = {name: dict(outputs(name)) for name in WEIGHTS}
    TABLE.write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

"""A fresh process that translates two pictures with shipped weights: ``python -m benchmarks.first_picture PICTURE``.

Prints CPU-seconds as JSON: of the imports, of loading and the first picture, and of the second one.
"""

import json
import os
import sys
import time


def main(picture: str) -> int:
    """Time each part; the interpreter's own start counts with the imports."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
    import translatotron_v.checkpoint  # what loading and translating import
    import translatotron_v.decoding.text  # noqa: F401
    from translatotron_v.inference.pictures import open_picture
    from translatotron_v.inference.pipeline import Translator

    marks = [time.process_time()]
    translator = Translator.from_pretrained("tiny", device="cpu", threads=1)
    marks.append(time.process_time())
    for _ in range(4):
        translator(open_picture(picture))
        marks.append(time.process_time())
    imports, loaded, first, *others = marks
    seconds = [later - earlier for earlier, later in zip([first, *others], others, strict=False)]
    answer = {"imports": imports, "load": loaded - imports, "first": first - loaded, "warm": min(seconds)}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

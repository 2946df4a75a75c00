"""Files of one or many pictures, as frames: a source gives them in order, each is translated, a writer takes them back.

    source = open_source("pages.tif")
    with written(target) as file, closing(source):
        writer = source.writer(file, ".tif")
        for frame, answer in translate_frames(source.frames(), translate):
            writer.add(frame, answer.image)
        notes = writer.finish()

What translates is a function from plain pictures (L or RGB, upright, opaque) to answers of the same size: a
`Translator`'s method, another process, another machine.
"""

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from PIL import Image

from translatotron_v.errors import UserError
from translatotron_v.inference.pictures import PictureError

if TYPE_CHECKING:
    from translatotron_v.inference.loaded import Translation

TOGETHER = 24_000_000  # pixels of pictures that are held and translated together; a larger one goes alone
REMEMBERED = 256_000_000  # bytes of packed answers of one file that wait for an equal frame
DPI = 200  # of pages that have no pixels of their own


@dataclass(eq=False)
class Frame:
    """One picture of a file.

    Attributes:
        image: upright, in its own mode.
        plain: what is translated: L or RGB, upright, opaque, of the same size.
        details: what its container says of it, such as its duration.
        owner: the file that it belongs to; equal frames of one owner are translated once.
    """

    image: Image.Image
    plain: Image.Image
    details: dict[str, Any] = field(default_factory=dict)
    owner: object = None


class Writer(Protocol):
    """Takes the frames of a file back."""

    def add(self, frame: Frame, answer: Image.Image) -> None:
        """The next frame, with what its plain picture has become."""
        ...

    def finish(self) -> list[str]:
        """Complete the file; what of the source it does not hold, as parts of a sentence."""
        ...

    def abort(self) -> None:
        """Let go of a file that will not be completed."""
        ...


class Source(Protocol):
    """A file that was opened."""

    count: int  # frames

    @property
    def suffix(self) -> str:
        """Of what it is written as where nobody names another."""
        ...

    def frames(self) -> Iterator[Frame]:
        """All of them, in order, decoded as they are asked for."""
        ...

    def check(self, suffix: str) -> None:
        """Raise PictureError unless files of that extension hold all frames."""
        ...

    def copies(self, suffix: str) -> bool:
        """Whether the file itself will do as one of that extension, where nothing on it has changed."""
        ...

    def writer(self, file: BinaryIO, suffix: str) -> Writer:
        """What writes them as a file of that extension; as `check`."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


Translate = Callable[[Sequence[Image.Image]], Sequence["Translation"]]


@dataclass(frozen=True)
class Failure:
    """One frame that could not be translated, and why."""

    reason: str


def translate_frames(
    frames: Iterable[Frame], translate: Translate, batch_size: int = 1, together: int = TOGETHER
) -> Iterator[tuple[Frame, "Translation | Failure"]]:
    """Translate frames in batches, and give each back with its answer, in order.

    Frames of one owner whose plain pictures are equal are translated once. Where a batch fails each of it is tried
    alone, so that one bad picture takes no others with it.

    Args:
        frames: of one file or of many; they are taken as they are needed.
        translate: see the module.
        batch_size: pictures at a time, fewer where together they would have more than `together` pixels.

    Raises:
        UserError: of `translate`: settings that serve no picture.
    """
    memory = _Memory()
    waiting: list[tuple[Frame, bytes]] = []
    new: dict[tuple[int, bytes], Image.Image] = {}
    pixels = 0

    def flush() -> Iterator[tuple[Frame, "Translation | Failure"]]:
        nonlocal pixels
        answers = dict(zip(new, _answers(list(new.values()), translate), strict=True))
        for frame, digest in waiting:
            answer = answers.get((id(frame.owner), digest))
            if answer is None:
                answer = memory.find(frame, digest)
            elif not isinstance(answer, Failure):
                memory.keep(frame, digest, answer)
            yield frame, answer
        memory.trim()
        waiting.clear()
        new.clear()
        pixels = 0

    for frame in frames:
        size = frame.plain.width * frame.plain.height
        if waiting and (len(new) >= batch_size or pixels + size > together):
            yield from flush()
        digest = hashlib.blake2b(frame.plain.tobytes(), digest_size=16, key=repr(frame.plain.size).encode()).digest()
        waiting.append((frame, digest))
        pixels += size
        if not memory.knows(frame, digest):
            new[id(frame.owner), digest] = frame.plain
    if waiting:
        yield from flush()


def _answers(pictures: Sequence[Image.Image], translate: Translate) -> "list[Translation | Failure]":
    if not pictures:
        return []
    try:
        return list(translate(pictures))
    except UserError:  # of the settings, which are those of all pictures
        raise
    except Exception as error:
        if len(pictures) > 1:
            return [answer for picture in pictures for answer in _answers([picture], translate)]
        return [Failure(f"{type(error).__name__}: {str(error).strip()}".split("\n")[0])]


class _Memory:
    """Answers of the file that is being read, their pictures packed, the oldest dropped where they are too many."""

    def __init__(self) -> None:
        self.owner: object = None
        self.kept: OrderedDict[bytes, tuple[Translation, bytes, str, tuple[int, int]]] = OrderedDict()
        self.size = 0

    def knows(self, frame: Frame, digest: bytes) -> bool:
        """Whether an equal frame of this file has been answered."""
        return frame.owner is self.owner and frame.owner is not None and digest in self.kept

    def find(self, frame: Frame, digest: bytes) -> "Translation":
        """That answer."""
        answer, packed, mode, size = self.kept[digest]
        return replace(answer, image=Image.frombytes(mode, size, zlib.decompress(packed)))

    def keep(self, frame: Frame, digest: bytes, answer: "Translation") -> None:
        """Keep an answer until the next file."""
        if frame.owner is not self.owner:
            self.owner, self.size = frame.owner, 0
            self.kept.clear()
        if frame.owner is None or digest in self.kept or getattr(frame.owner, "count", 2) < 2:
            return  # nothing equal can follow
        picture = answer.image
        packed = zlib.compress(picture.tobytes(), 1)
        self.kept[digest] = (replace(answer, image=_NOTHING, debug={}), packed, picture.mode, picture.size)
        self.size += len(packed)

    def trim(self) -> None:
        """Drop the oldest until the rest is small enough."""
        while self.size > REMEMBERED:
            _, (_, packed, _, _) = self.kept.popitem(last=False)
            self.size -= len(packed)


_NOTHING = Image.new("L", (1, 1))


def without_picture(answer: "Translation") -> "Translation":
    """What was said of a frame, for those who need its picture no more."""
    return replace(answer, image=_NOTHING, debug={}, clean=None)


def reason_of(error: Exception, path: Path) -> PictureError:
    """Whatever a library raises on a broken file, as one line."""
    if isinstance(error, PictureError):
        return error
    reason = getattr(error, "strerror", None) or str(error).split("\n")[0] or type(error).__name__
    return PictureError(f"{path}: broken picture ({reason})")

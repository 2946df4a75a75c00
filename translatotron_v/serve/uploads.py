"""Bodies of requests, read into memory and nowhere else: no part of an upload touches the disk.

The usual parsers of forms keep parts of more than a megabyte in temporary files; here parts are bytes.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from translatotron_v.serve.limits import Limits, RefusedError

MAX_PARTS = 8  # of a form
MAX_FIELD = 4_000_000  # bytes of a part that is text
MAX_TERMS = 2_000  # of a glossary


@dataclass
class Upload:
    """What a request brought: the file, and the other fields of a form."""

    content: bytes
    parts: dict[str, bytes] = field(default_factory=dict)

    def glossary(self) -> tuple[tuple[str, str], ...]:
        """The pairs of the field `glossary`; none where there is none.

        Raises:
            RefusedError: something else than a list of pairs of texts.
        """
        value = self.json("glossary", [])
        if not isinstance(value, list) or len(value) > MAX_TERMS or not all(map(_is_pair, value)):
            raise RefusedError(
                422, "bad_glossary",
                f'glossary: a list of up to {MAX_TERMS:,} pairs is wanted, such as [["Hund", "hound"], ["Berlin", ""]]',
            )  # fmt: skip
        return tuple((source, target) for source, target in value)

    def json(self, name: str, default: Any) -> Any:
        """The value of a field that holds JSON.

        Raises:
            RefusedError: it does not.
        """
        if name not in self.parts:
            return default
        try:
            return json.loads(self.parts[name].decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise RefusedError(422, f"bad_{name}", f"{name}: not JSON in UTF-8") from None


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, str) and _is_text(one) for one in value)


def _is_text(text: str) -> bool:
    return len(text) <= 200 and text == text.encode(errors="replace").decode()


async def read_upload(stream: AsyncIterator[bytes], content_type: str, length: str | None, limits: Limits) -> Upload:
    """Read a body: the bytes of a file, or a form with a part `file`.

    Args:
        length: what the header says, if it says anything; what comes is counted all the same.

    Raises:
        RefusedError: too many bytes, too slow, broken off, empty, or a form that is broken or lacks the part.
    """
    if length is not None and length.isascii() and length.isdigit() and int(length[:20]) > limits.body_bytes:
        raise _too_large(limits)
    try:
        body = await asyncio.wait_for(_read(stream, limits), limits.upload_seconds)
    except asyncio.TimeoutError:
        raise RefusedError(
            408, "upload_too_slow", f"the body did not arrive within {limits.upload_seconds:g} seconds"
        ) from None
    except ClientDisconnect:
        raise RefusedError(400, "broken_off", "the body ended early") from None
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        if not body:
            raise RefusedError(422, "no_file", "the body is empty; send the bytes of a picture or PDF, or a form")
        return Upload(body)
    parts = _parts(body, options.get(b"boundary", b""))
    content = parts.pop("file", b"")
    if not content:
        raise RefusedError(422, "no_file", "the form has no part 'file' with the bytes of a picture or PDF")
    return Upload(content, parts)


async def _read(stream: AsyncIterator[bytes], limits: Limits) -> bytes:
    body = bytearray()
    async for chunk in stream:
        body += chunk
        if len(body) > limits.body_bytes:
            raise _too_large(limits)
    return bytes(body)


def _too_large(limits: Limits) -> RefusedError:
    # whoever goes on sending after this is cut off
    return RefusedError(
        413, "too_many_bytes", f"the body has more than {limits.body_bytes:,} bytes", {"Connection": "close"}
    )


class _Form:
    """Parts of a form by name, with what their headers say; names are keys of a table and nothing else."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.header, self.value = bytearray(), bytearray()
        self.name: str | None = None
        self.data = bytearray()
        self.complete = False

    def begin(self) -> None:
        self.name, self.data = None, bytearray()

    def header_end(self) -> None:
        if self.header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self.value))
            self.name = options.get(b"name", b"").decode("utf-8", "replace")
        self.header.clear()
        self.value.clear()

    def end(self) -> None:
        if self.name is None:
            raise FormParserError("a part has no name")
        if len(self.parts) >= MAX_PARTS or (self.name != "file" and len(self.data) > MAX_FIELD):
            raise RefusedError(413, "too_many_parts", f"a form has at most {MAX_PARTS} parts, of {MAX_FIELD:,} bytes")
        self.parts[self.name] = bytes(self.data)

    def finish(self) -> None:
        self.complete = True


def _parts(body: bytes, boundary: bytes) -> dict[str, bytes]:
    form = _Form()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.begin,
                "on_header_field": lambda data, start, end: form.header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: form.value.extend(data[start:end]),
                "on_header_end": form.header_end,
                "on_part_data": lambda data, start, end: form.data.extend(data[start:end]),
                "on_part_end": form.end,
                "on_end": form.finish,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _broken(str(error)) from None
    if not form.complete:
        raise _broken("it ends early")
    return form.parts


def _broken(reason: str) -> RefusedError:
    return RefusedError(400, "broken_form", f"the form is broken ({reason})".split("\n")[0])

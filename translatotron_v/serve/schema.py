"""What the routes take and give, for FastAPI and for the OpenAPI document, with examples."""

from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

DESCRIPTION = (
    "A picture with text in one language goes in, the same picture in another language comes out. Files are sent as "
    "the body itself or as the part `file` of a form, and are held in memory alone."
)


class Answer(str, Enum):
    """What an answer is."""

    picture = "picture"
    json = "json"


class Side(str, Enum):
    """Of a page."""

    source = "source"
    translation = "translation"


Language = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z_-]{0,15}$", examples=["de"])]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class Options(_Strict):
    """How to translate."""

    to: Language | None = Field(None, description="language of the translation; by default that of the weights")
    source: Language | None = Field(None, alias="from", description="language of the text on the picture")
    system: Annotated[str, Field(max_length=60)] | None = Field(
        None, description="what translates, one of those that `/info` lists", examples=["end-to-end"]
    )
    numbers: Annotated[str, Field(pattern=r"^(keep|localize)$")] | None = Field(
        None, description="`localize` writes decimal signs and times as the target language does"
    )
    min_confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        None, description="blocks whose translation is right with a smaller probability stay as they are"
    )
    dpi: int = Field(200, ge=36, le=600, description="at which pages of a PDF are seen")


class PictureOrJson(_Strict):
    """What to answer."""

    answer: Answer | None = Field(None, description="by default what the header Accept asks for, and then the picture")
    picture: bool = Field(False, description="whether JSON also holds the file, in base64")


class AnswerOptions(Options, PictureOrJson):
    """Of `/translate`."""


class JobOptions(Options):
    """Of `/jobs`."""

    previews: bool = Field(False, description="whether pages can be looked at as JPEG when the job is done")


class Refused(BaseModel):
    """Why there is no answer."""

    error: str = Field(description="what programs go by")
    reason: str = Field(description="what people read")


_BLOCK = {
    "box": [[40.0, 52.0], [300.0, 52.0], [300.0, 78.0], [40.0, 78.0]], "source_text": "Ein Hund rennt.",
    "language": "de", "text": "A dog runs.", "scores": {"right": 0.91, "text": 0.83, "reading": 0.99},
    "font": "sans", "size": 20.1, "colour": [0, 0, 0], "angle": 0.0,
}  # fmt: skip
_PAGE = {
    "source_text": "Ein Hund rennt.", "text": "A dog runs.", "scores": {"right": 0.91, "text": 0.83},
    "low_confidence": [], "size": [512, 512], "blocks": [_BLOCK],
}  # fmt: skip
_RESULT = {"type": "image/png", "pages": [_PAGE], "warnings": []}
_JOB = {"id": "pW0hB3kq5mC1vX8yZ2aN7dEf", "state": "running", "done": 3, "count": 12}
_FILE = {"type": "string", "format": "binary"}
_FILES = ("image/png", "image/tiff", "image/gif", "image/webp", "application/pdf", "application/zip")

_WHY = {
    400: ("broken_form", "the form is broken (it ends early)"),
    401: ("no_token", "a token is wanted: Authorization: Bearer TOKEN"),
    403: ("other_origin", "requests of other sites' pages are refused"),
    404: ("no_such_job", "there is no such job, or it has been let go of"),
    408: ("took_too_long", "not done within 120 seconds; send less, or send it as a job"),
    409: ("not_done", "the job is not done yet; its events say how far it is"),
    413: ("too_many_bytes", "the body has more than 32,000,000 bytes"),
    422: ("broken_file", "not a PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF or HEIC picture"),
    429: ("busy", "32 requests are under way; come again in 2 s"),
}


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    answers: dict[int | str, dict[str, Any]] = {}
    for status in (401, 403, *statuses):
        error, reason = _WHY[status]
        example = {"error": error, "reason": reason}
        answers[status] = {"model": Refused, "content": {"application/json": {"example": example}}}
        if status == 429:
            answers[status]["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "seconds"}}
    return answers


def _json(example: Any, description: str = "as asked") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


def _body(parts: dict[str, Any], required: list[str], raw: bool = True) -> dict[str, Any]:
    form = {"schema": {"type": "object", "properties": parts, "required": required}}
    content: dict[str, Any] = {"multipart/form-data": form}
    if raw:
        content["application/octet-stream"] = {"schema": _FILE}
    return {"requestBody": {"required": True, "content": content}}


_FORM = {
    "file": _FILE | {"description": "a picture, an animation, a PDF or an archive of pictures"},
    "glossary": {
        "type": "string",
        "description": "pairs of words and their translations as JSON; an empty translation leaves the word",
        "example": '[["Hund", "hound"], ["Berlin", ""]]',
    },
}
_PICTURES = {
    "description": "the translation, a file of the source's kind (PNG of a single picture), or JSON",
    "content": {**{kind: {"schema": _FILE} for kind in _FILES}, "application/json": {"example": _RESULT}},
}
_BAD_BODY = (400, 408, 413, 422, 429)

TRANSLATE: dict[str, Any] = {
    "responses": {200: _PICTURES, **_refusals(*_BAD_BODY)},
    "openapi_extra": _body(_FORM, ["file"]),
}
REDRAW: dict[str, Any] = {
    "responses": {200: _PICTURES, **_refusals(*_BAD_BODY)},
    "openapi_extra": _body(
        {
            "file": _FILE | {"description": "the source"},
            "answer": _FILE | {"description": "its translation"},
            "page": {
                "type": "string",
                "description": "what was told of the page as JSON, with what is changed of its blocks: text, font, "
                "size, weight, colour, alignment, leave",
            },
        },
        ["file", "answer", "page"],
        raw=False,
    ),
}
NEW_JOB: dict[str, Any] = {
    "responses": {202: _json(_JOB, "the job"), **_refusals(*_BAD_BODY)},
    "openapi_extra": _body(_FORM, ["file"]),
}
JOB: dict[str, Any] = {"responses": {200: _json(_JOB | {"state": "done", "result": _RESULT}), **_refusals(404, 422)}}
JOB_GONE: dict[str, Any] = {"responses": _refusals(404, 422)}
EVENTS: dict[str, Any] = {
    "responses": {
        200: {
            "description": "`waiting`, `progress` with each page, then `done`, `failed` or `cancelled`",
            "content": {
                "text/event-stream": {
                    "example": 'id: 1\nevent: progress\ndata: {"state": "running", "done": 1, "count": 12}\n\n'
                }
            },
        },
        **_refusals(404, 422),
    }
}
FILE: dict[str, Any] = {"responses": {200: _PICTURES, **_refusals(404, 409, 422)}}
PREVIEW: dict[str, Any] = {
    "responses": {
        200: {"description": "a picture", "content": {"image/jpeg": {"schema": _FILE}}},
        **_refusals(404, 409, 422),
    }
}
INFO: dict[str, Any] = {
    "responses": {
        200: _json(
            {"version": "0.1.0", "weights": "small", "systems": ["end-to-end"], "languages": ["de", "en"],
             "redraw": True, "limits": {"body_bytes": 32000000}}
        ),
        **_refusals(),
    }
}  # fmt: skip
HEALTH: dict[str, Any] = {"responses": {200: _json({"status": "ok"}), 403: _refusals()[403]}}
METRICS: dict[str, Any] = {
    "responses": {
        200: {"description": "text", "content": {"text/plain": {"example": "translatotron_pages_total 12.0\n"}}},
        **_refusals(),
    }
}

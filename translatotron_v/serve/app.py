"""The routes of the service. `create_app` makes an ASGI application; `docs/serve.md` shows how it is used."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from translatotron_v import __version__
from translatotron_v.errors import UserError
from translatotron_v.serve import schema
from translatotron_v.serve.batching import Ticket
from translatotron_v.serve.guards import LOOPBACK, Guard
from translatotron_v.serve.jobs import CANCELLED, DONE, FAILED, Job, Jobs
from translatotron_v.serve.limits import RefusedError
from translatotron_v.serve.pages import PAGE
from translatotron_v.serve.schema import AnswerOptions, JobOptions
from translatotron_v.serve.service import Asked, Result, Service, refusal
from translatotron_v.serve.uploads import Upload, read_upload


def create_app(
    service: Service,
    *,
    languages: Iterable[str] = (),
    weights: str = "",
    token: str = "",
    hosts: Iterable[str] = LOOPBACK,
) -> ASGIApp:
    """The application of a service, which it closes in the end.

    Args:
        languages: that the weights know, for the page's choice.
        weights: their name, for `/info`.
        token, hosts: see `guards.Guard`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    # no /docs and /redoc: what they show is fetched from elsewhere
    app = FastAPI(
        title="Translatotron-V", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description=schema.DESCRIPTION, swagger_ui_oauth2_redirect_url=None,
    )  # fmt: skip
    info = {
        "version": __version__,
        "weights": weights,
        "systems": list(service.systems),
        "languages": list(languages),
        "redraw": service.redraw is not None,
        "limits": {name: getattr(service.limits, name) for name in ("body_bytes", "pixels", "pages", "seconds")},
    }
    _add_errors(app, service)
    _add_translating(app, service)
    _add_jobs(app, service)
    _add_rest(app, service, info)
    return Guard(app, service.metrics, token, hosts)


def _add_errors(app: FastAPI, service: Service) -> None:
    """Whatever is refused is refused in one way."""

    def refused(error: RefusedError) -> JSONResponse:
        service.metrics.note_refusal(error.code)
        return JSONResponse(error.as_json(), error.status, error.headers)

    @app.exception_handler(UserError)
    async def of_ours(request: Request, error: UserError) -> Response:
        return refused(refusal(error))

    @app.exception_handler(RequestValidationError)
    async def of_options(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return refused(RefusedError(422, "bad_option", f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def of_routes(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "bad_method"}.get(error.status_code, "refused")
        return refused(RefusedError(error.status_code, code, str(error.detail), dict(error.headers or {})))


def _add_translating(app: FastAPI, service: Service) -> None:
    @app.post("/translate", summary="Translate a picture, a PDF or an archive", **schema.TRANSLATE)
    async def translate(request: Request, options: Annotated[AnswerOptions, Query()]) -> Response:
        with service.admitted():
            upload = await _read(request, service)
            asked = _asked(options, upload, service)
            ticket = Ticket(service.limits.seconds)
            result = await _answered(request, service, ticket, lambda: service.work(upload, asked, options.dpi, ticket))
        return _answer(request, result, options)

    if service.redraw is None:
        return

    @app.post("/redraw", summary="Draw blocks of a translated picture again", **schema.REDRAW)
    async def redraw(request: Request, options: Annotated[schema.PictureOrJson, Query()]) -> Response:
        with service.admitted():
            upload = await _read(request, service)
            ticket = Ticket(service.limits.seconds)
            result = await _answered(request, service, ticket, lambda: service.draw_again(upload, ticket))
        return _answer(request, result, options)


def _add_jobs(app: FastAPI, service: Service) -> None:
    jobs = Jobs(service.limits)

    @app.post("/jobs", status_code=202, summary="Translate a file, with progress", **schema.NEW_JOB)
    async def new_job(request: Request, options: Annotated[JobOptions, Query()]) -> dict[str, Any]:
        service.admit()
        try:
            upload = await _read(request, service)
            asked = _asked(options, upload, service)
            job = jobs.open()
            running = service.pool.submit(
                jobs.run, job,
                lambda progress: service.work(upload, asked, options.dpi, job.ticket, options.previews, progress),
            )  # fmt: skip
        except BaseException:
            service.leave()
            raise
        running.add_done_callback(lambda _: service.leave())
        return job.as_json()

    @app.get("/jobs/{job_id}", summary="How far a job is; when it is done, what became of each page", **schema.JOB)
    async def show_job(job_id: str) -> dict[str, Any]:
        return jobs.find(job_id).as_json()

    @app.delete("/jobs/{job_id}", status_code=204, summary="Cancel a job, or let go of its answer", **schema.JOB_GONE)
    async def remove_job(job_id: str) -> None:
        jobs.remove(jobs.find(job_id))

    @app.get("/jobs/{job_id}/events", summary="Progress as server-sent events", **schema.EVENTS)
    async def follow_job(job_id: str, request: Request) -> StreamingResponse:
        last = request.headers.get("last-event-id", "")
        first = int(last) + 1 if last.isascii() and last.isdigit() and len(last) < 9 else 0
        stream = jobs.find(job_id).follow(first)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @app.get("/jobs/{job_id}/file", summary="The translated file of a job", **schema.FILE)
    async def job_file(job_id: str) -> Response:
        result = _finished(jobs.find(job_id))
        return Response(result.content, media_type=result.media_type, headers=_named(result))

    @app.get("/jobs/{job_id}/pages/{number}/{side}", summary="A page of a job as JPEG, to look at", **schema.PREVIEW)
    async def job_page(job_id: str, number: int, side: schema.Side) -> Response:
        previews = _finished(jobs.find(job_id)).previews
        if not 1 <= number <= len(previews):
            raise RefusedError(404, "no_such_page", "there is no such page, or none was asked for with previews=true")
        return Response(previews[number - 1][side is schema.Side.translation], media_type="image/jpeg")


def _add_rest(app: FastAPI, service: Service, info: dict[str, Any]) -> None:
    @app.get("/info", summary="What this service offers", **schema.INFO)
    async def show_info() -> dict[str, Any]:
        return info

    @app.get("/healthz", summary="Whether it runs", **schema.HEALTH)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", summary="Figures for Prometheus", **schema.METRICS)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def static(content: bytes, media_type: str) -> Callable[[], Any]:
        async def give() -> Response:
            return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

        return give

    for path, (content, media_type) in PAGE.items():
        app.get(path, include_in_schema=False)(static(content, media_type))


async def _read(request: Request, service: Service) -> Upload:
    headers = request.headers
    return await read_upload(
        request.stream(), headers.get("content-type", ""), headers.get("content-length"), service.limits
    )


def _asked(options: schema.Options, upload: Upload, service: Service) -> Asked:
    asked = Asked(
        system=options.system or next(iter(service.systems)),
        source_language=options.source,
        target_language=options.to,
        numbers=options.numbers,
        min_confidence=options.min_confidence,
        glossary=upload.glossary(),
    )
    service.check(asked)
    return asked


async def _answered(request: Request, service: Service, ticket: Ticket, work: Callable[[], Result]) -> Result:
    """Run work in a thread; whoever hangs up cancels it."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue

    future = asyncio.get_running_loop().run_in_executor(service.pool, work)
    watch = asyncio.ensure_future(gone())
    either: list[asyncio.Future[Any]] = [future, watch]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            ticket.cancelled.set()
        return await future
    finally:
        watch.cancel()


def _answer(request: Request, result: Result, options: schema.PictureOrJson) -> Response:
    accepted = request.headers.get("accept", "")
    kind = options.answer or (schema.Answer.json if accepted.startswith("application/json") else schema.Answer.picture)
    if kind is schema.Answer.picture:
        return Response(result.content, media_type=result.media_type, headers=_named(result))
    told = result.as_json()
    if options.picture:
        told["file"] = base64.b64encode(result.content).decode()
    return JSONResponse(told)


def _named(result: Result) -> dict[str, str]:
    return {"Content-Disposition": f'inline; filename="translation{result.suffix}"'}


def _finished(job: Job) -> Result:
    if job.state in (FAILED, CANCELLED):
        raise RefusedError(409, job.state, f"the job has {'failed' if job.state == FAILED else 'been cancelled'}")
    if job.state != DONE or job.result is None:
        raise RefusedError(409, "not_done", "the job is not done yet; its events say how far it is")
    return job.result

"""The service as clients see it, with a translator that needs no model."""

import asyncio
import base64
import io
import json
import os
import sys
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pikepdf
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.serve.fakes import BOMB, HOST, PATIENCE, Inverts, pdf, picture, service
from translatotron_v.serve import jobs as jobs_module
from translatotron_v.serve.app import create_app
from translatotron_v.serve.limits import Limits, RefusedError
from translatotron_v.serve.uploads import read_upload


@contextmanager
def client(system: Inverts | None = None, token: str = "", **options: Any) -> Iterator[TestClient]:
    served = service(system, **options)
    app = create_app(served, languages=("de", "en", "fr"), weights="none", token=token)
    with TestClient(app, base_url=HOST, raise_server_exceptions=False) as made:
        yield made


def shown(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def refused(answer: Any, status: int, error: str) -> str:
    """Why; every refusal has the same form."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) == {"error", "reason"} and told["error"] == error and "\n" not in told["reason"]
    return told["reason"]


INVERTED = 255 - shown(picture())


def test_a_picture_comes_back_as_a_picture():
    with client() as asking:
        for sent in ({"content": picture()}, {"files": {"file": ("../../etc/passwd", picture())}}):
            answer = asking.post("/translate", **sent)
            assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
            assert np.array_equal(shown(answer.content), INVERTED)
            assert answer.headers["content-disposition"] == 'inline; filename="translation.png"'


def test_json_has_blocks_and_on_demand_the_file():
    with client() as asking:
        by_header = asking.post("/translate", content=picture(), headers={"Accept": "application/json"}).json()
        by_option = asking.post("/translate?answer=json&picture=true", content=picture()).json()
    assert "file" not in by_header and by_header["pages"] == by_option["pages"]
    assert [block.get("skip_reason") for block in by_header["pages"][0]["blocks"]] == [
        None,
        None,
        "numbers and symbols",
    ]
    assert np.array_equal(shown(base64.b64decode(by_option["file"])), INVERTED)


def test_options_reach_the_translator_and_bad_ones_are_named():
    system = Inverts()
    with client(system) as asking:
        form = {"files": {"file": picture()}, "data": {"glossary": json.dumps([["Hund", "hound"]])}}
        assert asking.post("/translate?to=fr&min_confidence=0.5&numbers=localize", **form).status_code == 200
        (asked,) = system.asked
        assert (asked.target_language, asked.min_confidence, asked.numbers) == ("fr", 0.5, "localize")
        assert asked.glossary is not None and asked.glossary.annotate("Ein Hund") != "Ein Hund"
        reason = refused(asking.post("/translate?to=xx", content=picture()), 422, "bad_option")
        assert reason == "language 'xx': this model knows en, fr"
        for query in ("min_confidence=2", "system=none", "dpi=1", "numbers=no", "min_confidence=nan", "where=/etc"):
            refused(asking.post(f"/translate?{query}", content=picture()), 422, "bad_option")
        for glossary in ("[[", '[["a"]]', '{"a": "b"}', '[["a", 1]]', "[" * 100_000):
            form["data"] = {"glossary": glossary}
            refused(asking.post("/translate", **form), 422, "bad_glossary")
        for pairs in ([["a", "b"], ["a", "c"]], [["", "b"]]):
            form["data"] = {"glossary": json.dumps(pairs)}
            assert "glossary" in refused(asking.post("/translate", **form), 422, "bad_option")


def test_containers_stay_what_they_are():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(3):
            archive.writestr(f"page{number}.png", picture((40 + number, 30)))
        archive.writestr("notes.txt", "as it was")
    with client() as asking:
        answer = asking.post("/translate", content=pdf(3))
        assert answer.headers["content-type"] == "application/pdf"
        with pikepdf.open(io.BytesIO(answer.content)) as document:
            assert len(document.pages) == 3
        answer = asking.post("/translate", content=packed.getvalue())
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.read("notes.txt") == b"as it was"
            assert np.array_equal(shown(archive.read("page1.png")), 255 - shown(picture((41, 30))))


def test_what_is_too_much_is_refused_and_says_how_much():
    moving = io.BytesIO()
    frames = [Image.new("RGB", (100, 100), colour) for colour in ("gold", "navy", "white", "black", "red")]
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("page.png", picture())
        archive.writestr("zeros", bytes(2_000_000))
    with client(body_bytes=60_000, pixels=10_000, pages=2, unpacked=1_000_000) as asking:
        assert "60,000 bytes" in refused(asking.post("/translate", content=bytes(60_001)), 413, "too_many_bytes")
        assert "60,000" in refused(
            asking.post("/translate", content=iter([bytes(50_000)] * 2)), 413, "too_many_bytes"
        )  # chunked: no length is told
        reason = refused(asking.post("/translate", content=picture((101, 100))), 413, "too_large")
        assert reason == "101 x 100 pixels are more than 10,000; shrink it first"
        assert "5 frames" in refused(asking.post("/translate", content=moving.getvalue()), 413, "too_large")
        assert "3 pages" in refused(asking.post("/translate", content=pdf(3)), 413, "too_many_pages")
        assert "at 600 dpi" in refused(asking.post("/translate?dpi=600", content=pdf(1)), 413, "too_large")
        assert "unpacks to" in refused(asking.post("/translate", content=packed.getvalue()), 413, "too_large")
        assert asking.post("/translate", content=picture((100, 100))).status_code == 200


def test_time_is_bounded():
    system = Inverts()
    system.gate.clear()
    with client(system, seconds=0.2) as asking:
        assert "0.2 seconds" in refused(asking.post("/translate", content=picture()), 408, "took_too_long")
        system.gate.set()
        assert asking.get("/healthz").json() == {"status": "ok"}


def test_a_body_has_to_arrive_in_time():
    async def slow() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    with pytest.raises(RefusedError, match=r"within 0\.1 seconds") as caught:
        asyncio.run(read_upload(slow(), "image/png", None, Limits(upload_seconds=0.1)))
    assert (caught.value.status, caught.value.code) == (408, "upload_too_slow")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (picture(kind="GIF")[:30], "not a PNG"),
        (b"hello", "not a PNG"),
        (picture()[:100], "broken picture"),
        (b"%PDF-1.7\n", "broken PDF"),
        (b"PK\3\4 and nothing", "broken archive"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (picture(BOMB), "cannot be translated"),
    ],
)
def test_broken_files_get_a_reason(content: bytes, says: str):
    with client() as asking:
        answer = asking.post("/translate", content=content)
        assert says in refused(answer, 422, answer.json()["error"])
        assert "upload" not in answer.json()["reason"]


def test_broken_bodies_get_a_reason():
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
    with client() as asking:
        refused(asking.post("/translate", content=b""), 422, "no_file")
        refused(asking.post("/translate", data={"other": "x"}, files={"more": b"x"}), 422, "no_file")
        refused(asking.post("/translate", content=part + picture(), headers=form), 400, "broken_form")
        refused(asking.post("/translate", content=b"--c\r\n", headers=form), 400, "broken_form")
        nameless = b"--b\r\nX: y\r\n\r\nabc\r\n--b--\r\n"
        refused(asking.post("/translate", content=nameless, headers=form), 400, "broken_form")
        refused(
            asking.post("/translate", content=b"x", headers={"Content-Type": "multipart/form-data"}), 400, "broken_form"
        )
        many = {f"part{number}": b"x" for number in range(20)}
        refused(asking.post("/translate", files=many), 413, "too_many_parts")
        whole = part + picture() + b"\r\n--b--\r\n"
        assert asking.post("/translate", content=whole, headers=form).status_code == 200


def test_a_token_is_asked_for():
    with client(token="s3cret") as asking:
        for path in ("/info", "/metrics", "/openapi.json", "/jobs/x"):
            refused(asking.get(path), 401, "no_token")
        for header in ("Bearer wrong", "Bearer ", "s3cret", "Basic s3cret", "Bearer s3cret2"):
            answer = asking.post("/translate", content=picture(), headers={"Authorization": header})
            refused(answer, 401, "no_token")
            assert answer.headers["www-authenticate"] == "Bearer"
        right = {"Authorization": "Bearer s3cret"}
        assert asking.post("/translate", content=picture(), headers=right).status_code == 200
        assert asking.get("/healthz").status_code == 200 and asking.get("/").status_code == 200


def test_other_sites_cannot_use_a_browser_that_can_reach_it():
    with client() as asking:
        refused(asking.get("/info", headers={"Host": "evil.example:8000"}), 403, "unknown_host")
        for origin in ("http://evil.example", "null", "http://localhost:9999", "http://["):
            refused(asking.post("/translate", content=picture(), headers={"Origin": origin}), 403, "other_origin")
        assert asking.post("/translate", content=picture(), headers={"Origin": HOST}).status_code == 200


def test_past_the_limit_clients_are_asked_to_come_again():
    system = Inverts()
    system.gate.clear()
    with client(system, requests=2, gather_milliseconds=0) as asking, ThreadPoolExecutor() as pool:
        first = [pool.submit(asking.post, "/translate", content=picture()) for _ in range(2)]
        wait_for(lambda: "requests_inside 2.0" in asking.get("/metrics").text)
        answer = asking.post("/translate", content=picture())
        assert "2 requests are under way" in refused(answer, 429, "busy")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        refused(asking.post("/jobs", content=picture()), 429, "busy")
        system.gate.set()
        assert [one.result().status_code for one in first] == [200, 200]
        wait_for(lambda: "requests_inside 0.0" in asking.get("/metrics").text)
        assert asking.post("/translate", content=picture()).status_code == 200


def test_clients_that_ask_the_same_share_batches():
    system = Inverts()
    system.gate.clear()
    with client(system, together=4, gather_milliseconds=100) as asking, ThreadPoolExecutor() as pool:
        first = pool.submit(asking.post, "/translate?to=fr", content=picture())
        assert system.entered.acquire(timeout=PATIENCE)  # the others come while this one runs
        same = [pool.submit(asking.post, "/translate", content=picture((60 + number, 40))) for number in range(5)]
        wait_for(lambda: "waiting 5.0" in asking.get("/metrics").text)
        system.gate.set()
        sizes = [shown(one.result().content).shape[1] for one in same]
        assert first.result().status_code == 200 and sizes == [60, 61, 62, 63, 64]
    assert system.batches == [1, 4, 1]


def test_a_picture_that_fails_fails_nobody_else():
    system = Inverts()
    system.gate.clear()
    with client(system, gather_milliseconds=100) as asking, ThreadPoolExecutor() as pool:
        first = pool.submit(asking.post, "/translate?to=fr", content=picture())
        assert system.entered.acquire(timeout=PATIENCE)
        sizes = [(60, 40), BOMB, (61, 40)]
        others = [pool.submit(asking.post, "/translate", content=picture(size)) for size in sizes]
        wait_for(lambda: "waiting 3.0" in asking.get("/metrics").text)
        system.gate.set()
        assert [one.result().status_code for one in [first, *others]] == [200, 200, 422, 200]


def events(asking: TestClient, job: str, **headers: str) -> list[tuple[str, dict[str, Any]]]:
    with asking.stream("GET", f"/jobs/{job}/events", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = [dict(line.split(": ", 1) for line in one.split("\n")) for one in
                "".join(stream.iter_text()).strip().split("\n\n")]  # fmt: skip
    return [(one["event"], json.loads(one["data"])) for one in told]


def test_a_job_tells_its_progress_in_order():
    with client(together=2) as asking:
        answer = asking.post("/jobs?previews=true", content=pdf(4))
        assert answer.status_code == 202
        job = answer.json()["id"]
        told = events(asking, job)
        assert [name for name, _ in told] == ["waiting", *["progress"] * 5, "done"]
        assert [data["done"] for _, data in told] == [0, 0, 1, 2, 3, 4, 4] and told[-1][1]["count"] == 4
        assert [name for name, _ in events(asking, job, **{"Last-Event-ID": "4"})] == ["progress", "done"]
        done = asking.get(f"/jobs/{job}").json()
        assert done["state"] == "done" and len(done["result"]["pages"]) == 4
        with pikepdf.open(io.BytesIO(asking.get(f"/jobs/{job}/file").content)) as document:
            assert len(document.pages) == 4
        before, after = (asking.get(f"/jobs/{job}/pages/2/{side}") for side in ("source", "translation"))
        assert before.headers["content-type"] == "image/jpeg"
        apart = shown(before.content).astype(int) + shown(after.content)
        assert abs(apart - 255).mean() < 6
        refused(asking.get(f"/jobs/{job}/pages/5/source"), 404, "no_such_page")
        assert asking.delete(f"/jobs/{job}").status_code == 204
        refused(asking.get(f"/jobs/{job}"), 404, "no_such_job")


def test_jobs_fail_and_can_be_cancelled():
    system = Inverts()
    with client(system) as asking:
        job = asking.post("/jobs", content=b"nothing").json()["id"]
        assert events(asking, job)[-1][0] == "failed" and "not a PNG" in events(asking, job)[-1][1]["reason"]
        refused(asking.get(f"/jobs/{job}/file"), 409, "failed")
        system.gate.clear()
        job = asking.post("/jobs", content=pdf(9)).json()["id"]
        assert system.entered.acquire(timeout=PATIENCE)  # its first eight pages are being translated
        refused(asking.get(f"/jobs/{job}/file"), 409, "not_done")
        assert asking.delete(f"/jobs/{job}").status_code == 204
        assert events(asking, job)[-1][0] == "cancelled"  # although the batch that it was in still runs
        system.gate.set()
        refused(asking.get(f"/jobs/{job}/file"), 409, "cancelled")
        assert asking.post("/translate", content=picture()).status_code == 200
    assert system.batches == [8, 1]  # the ninth page was never begun


def test_answers_of_jobs_are_let_go_of(monkeypatch: pytest.MonkeyPatch):
    with client(kept_bytes=0) as asking:
        jobs = []
        for _ in range(2):
            jobs.append(asking.post("/jobs", content=picture()).json()["id"])
            events(asking, jobs[-1])
        assert [asking.get(f"/jobs/{job}").status_code for job in jobs] == [404, 200]  # the newest may be fetched
    now = [0.0]
    monkeypatch.setattr(jobs_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with client(kept_seconds=600) as asking:
        job = asking.post("/jobs", content=picture()).json()["id"]
        events(asking, job)
        now[0] = 600.0
        assert asking.get(f"/jobs/{job}").status_code == 200
        now[0] = 600.1
        refused(asking.get(f"/jobs/{job}"), 404, "no_such_job")


def test_blocks_are_drawn_again():
    with client() as asking:
        told = asking.post("/translate?answer=json&picture=true", content=picture()).json()
        page = told["pages"][0]
        page["blocks"][1]["text"] = "The trees bloom."
        answer = base64.b64decode(told["file"])
        files = {"file": picture(), "answer": answer}
        again = asking.post("/redraw?answer=json", files=files, data={"page": json.dumps(page)})
        assert again.json()["pages"][0]["blocks"][1]["text"] == "The trees bloom."
        drawn = asking.post("/redraw", files=files, data={"page": json.dumps(page)})
        assert (shown(drawn.content) != shown(answer)).any()
        untold = ('{"blocks": [], "other": "\\ud800"}', '{"blocks": [], "other": 1e999}')  # not by JSON in UTF-8
        assert asking.post("/redraw", files=files).status_code == 422
        for text in ("[]", "{", '{"blocks": 3}', *untold):
            assert asking.post("/redraw", files=files, data={"page": text}).status_code == 422
        files["answer"] = picture((10, 10))
        refused(asking.post("/redraw", files=files, data={"page": json.dumps(page)}), 422, "bad_answer")
    with client(redraw=None) as asking:
        refused(asking.post("/redraw", files=files), 404, "not_found")
        assert (
            asking.get("/info").json()["redraw"] is False
            and "/redraw" not in asking.get("/openapi.json").json()["paths"]
        )


def test_metrics_count_and_say_nothing_of_contents():
    with client() as asking:
        asking.post("/translate", content=picture())
        asking.get("/jobs/secret-of-a-client")
        asking.get("/no/such/place")
        text = asking.get("/metrics").text
    assert 'translatotron_requests_total{method="POST",path="/translate",status="200"} 1.0' in text
    assert 'translatotron_blocks_total{left="numbers and symbols"} 1.0' in text
    assert "translatotron_pages_total 1.0" in text and 'translatotron_refused_total{error="no_such_job"} 1.0' in text
    assert "secret" not in text and "such/place" not in text and "dog" not in text
    assert ("process_resident_memory_bytes" in text) == sys.platform.startswith("linux")


def test_the_document_and_the_page_need_no_other_host():
    with client() as asking:
        document = asking.get("/openapi.json").json()
        assert {"/translate", "/redraw", "/jobs", "/jobs/{job_id}/events", "/healthz", "/metrics"} <= set(
            document["paths"]
        )
        for path in ("/docs", "/redoc"):
            refused(asking.get(path), 404, "not_found")
        for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
            answer = asking.get(path)
            assert answer.headers["content-type"].startswith(kind)
            assert "://" not in answer.text and "'self'" in answer.headers["content-security-policy"]
        for path in ("/page.py", "/page/page.html", "/..%2fpages.py", "/%2e%2e/pages.py", "//etc/passwd"):
            assert asking.get(path).status_code == 404


def test_no_upload_touches_the_disk(monkeypatch: pytest.MonkeyPatch):
    opened: list[str] = []
    watched = [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watched and event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                opened.append(path)
        elif watched and event in ("tempfile.mkstemp", "tempfile.mkdtemp"):
            opened.append(event)

    big = np.random.default_rng(0).integers(0, 255, (700, 700, 3), dtype=np.uint8)  # past what parsers spool
    file = io.BytesIO()
    Image.fromarray(big).save(file, "PNG")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("page.png", file.getvalue())
    with client() as asking:
        sys.addaudithook(hook)  # cannot be taken off, so it is told to look away in the end
        try:
            with open(os.devnull, "wb"):
                assert opened.pop() == os.devnull  # it sees
            for content in (file.getvalue(), pdf(2), packed.getvalue(), picture(kind="TIFF"), picture(kind="WEBP")):
                assert asking.post("/translate", files={"file": content}).status_code == 200
                job = asking.post("/jobs?previews=true", content=content).json()["id"]
                assert events(asking, job)[-1][0] == "done"
        finally:
            watched.clear()
    assert opened == []


def test_stopping_finishes_what_runs():
    system = Inverts()
    system.gate.clear()
    served = service(system)
    app = create_app(served)
    with TestClient(app, base_url=HOST) as asking, ThreadPoolExecutor() as pool:
        running = pool.submit(asking.post, "/translate", content=picture())
        assert system.entered.acquire(timeout=PATIENCE)
        closing = threading.Thread(target=served.close)
        closing.start()
        wait_for(lambda: served._closing)
        refused(asking.post("/translate", content=picture()), 429, "busy")
        system.gate.set()
        assert running.result().status_code == 200
        closing.join(PATIENCE)
        assert not closing.is_alive()


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it never came to be"
        time.sleep(0.01)

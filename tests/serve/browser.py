"""A service on a free port of this machine, and a browser to look at its page."""

import asyncio
import base64
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from tests.serve.fakes import PATIENCE
from translatotron_v.serve.app import create_app
from translatotron_v.serve.service import Service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# what puts a file into the page as a drag from a file manager, or a paste, does
_GIVE = """([name, content, type]) => {
  const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name));
  const event = type === "paste"
    ? new ClipboardEvent("paste", { clipboardData: files, bubbles: true })
    : new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
  document.getElementById("drop").dispatchEvent(event);
}"""


@contextmanager
def running(service: Service, token: str = "", late: float = 0.0) -> Iterator[str]:
    """The address of a service, which tells what it can do so many seconds late."""
    made = create_app(service, languages=("de", "en", "fr"), weights="none", token=token)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if late and scope.get("path", "").endswith("/info"):
            await asyncio.sleep(late)
        await made(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_keep_alive=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ends = time.monotonic() + PATIENCE
    while not server.started:
        assert thread.is_alive() and time.monotonic() < ends
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The browser of the system; a test without one is skipped."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium (.ci/run does)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=1000 * PATIENCE
        )
        yield browser
        browser.close()


@contextmanager
def visited(browser: "Browser", address: str, **options: Any) -> Iterator["Page"]:
    """The page; no error of a script, and no request to another host."""
    context = browser.new_context(locale="en-GB", **options)
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url))
    page.goto(address)
    # what the page shows, and no wait_for_function: that calls eval() in the page again and again, which its content
    # security policy forbids, so it fails wherever the first call comes too early
    page.locator("#system option, #token-row:not([hidden])").first.wait_for(state="attached")
    yield page
    assert errors == []
    assert [url for url in elsewhere if not url.startswith((address, "blob:", "data:"))] == []
    context.close()


def give(page: "Page", content: bytes, how: str = "drop") -> None:
    """Drop a file on the page, or paste it."""
    page.evaluate(_GIVE, ["a picture.png", base64.b64encode(content).decode(), how])

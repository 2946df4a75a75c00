"""The page in a real browser, with a translator that needs no model; drawing again with the real one."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.serve.browser import chromium, give, running, visited
from tests.serve.fakes import Inverts, pdf, picture, service
from translatotron_v.commands.serve import redrawing
from translatotron_v.inference.pipeline import Translator
from translatotron_v.ocr import OcrEngine, boxes_to_text
from translatotron_v.shipped import shipped_folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def served(browser: Any) -> Iterator[tuple[Inverts, str]]:
    """What translates, and the address of a service with it, for all tests that need no other."""
    system = Inverts()
    with running(service(system, together=2, seconds=300)) as address:
        yield system, address


@pytest.fixture
def system(served: tuple[Inverts, str]) -> Iterator[Inverts]:
    """What translates, with nothing asked of it yet."""
    system, _ = served
    system.asked.clear()
    yield system
    system.gate.set()


@pytest.fixture
def address(served: tuple[Inverts, str]) -> str:
    return served[1]


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    with visited(browser, address) as made:
        yield made


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_drop_see_edit_redraw_and_save(page: Any, tmp_path: Path):
    give(page, picture((300, 200)))
    page.get_by_text("Done: 2 of 3 blocks translated.").wait_for()
    assert page.locator("#boxes button").count() == page.locator("#blocks li").count() == 3
    marks = page.locator("#blocks .mark").all_text_contents()
    assert marks == [
        "● sure (93 %)", "○ doubtful: check it (31 %)", "– left as it was: only numbers and symbols",
    ]  # fmt: skip
    assert "Die Bäume blühen." in page.locator("#blocks li").nth(1).inner_text()
    page.locator("#boxes button").nth(1).click()
    area = page.get_by_label("Translation of block 2")
    assert area.evaluate("one => one === document.activeElement")
    area.fill("The trees bloom.")
    area.press("Enter")
    page.get_by_text("Drawn again.", exact=True).wait_for()
    drawn, told = saved(page, tmp_path)
    assert drawn.shape == (200, 300, 3) and (drawn[:20] == (20, 180, 20)).all()
    assert (drawn[30:] == 255 - pixels(io.BytesIO(picture((300, 200))))[30:]).all()
    assert [block["text"] for block in told["blocks"][:2]] == ["A dog runs.", "The trees bloom."]


def test_real_words_are_drawn_again_and_all_else_stays(browser: Any, reader: OcrEngine, tmp_path: Path):
    translator = Translator.from_pretrained("small", device="cpu", threads=1)
    real = service(translator, redrawing(translator), seconds=300)
    sign = shipped_folder("examples") / "pages" / "sign.jpg"
    with running(real) as address, visited(browser, address) as page:
        give(page, sign.read_bytes())
        page.get_by_text("Done: 1 of 1 blocks translated.").wait_for()
        (tmp_path / "before").mkdir()
        before, told = saved(page, tmp_path / "before")
        area = page.get_by_label("Translation of block 1")
        assert area.input_value() == told["blocks"][0]["text"]
        area.fill("A dog runs.")
        area.press("Enter")
        page.get_by_text("Drawn again.", exact=True).wait_for()
        assert page.locator("#blocks .mark").all_text_contents() == ["✎ your words"]
        drawn, told_again = saved(page, tmp_path)
    (block,), (again,) = told["blocks"], told_again["blocks"]
    assert again["text"] == "A dog runs." and again["drawn"] != block["drawn"] and again["words"] != block["words"]
    assert (
        "dog" in boxes_to_text(reader.read(drawn)).lower() and "jump" not in boxes_to_text(reader.read(drawn)).lower()
    )
    changed = np.argwhere((drawn != before).any(axis=2))
    corners = np.array([block["box"], *block["words"], *again["words"]]).reshape(-1, 2)
    room = 2 * block["size"]
    assert len(changed) and (changed[:, ::-1] >= corners.min(axis=0) - room).all()
    assert (changed[:, ::-1] <= corners.max(axis=0) + room).all()


def saved(page: Any, folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """What the page lets one save: the picture, and what is told of it."""
    for name in ("Save the file", "Save the JSON"):
        with page.expect_download() as download:
            page.get_by_text(name).click()
        download.value.save_as(folder / download.value.suggested_filename)
    told = json.loads((folder / "translation.json").read_text(encoding="utf-8"))
    return pixels(folder / "translation.png"), told["pages"][0]


def test_a_broken_file_says_why_and_the_next_one_works(page: Any):
    give(page, b"this is no picture")
    alert = page.get_by_role("alert")
    page.get_by_text("That did not work: not a PNG").wait_for()
    assert not page.locator("#result").is_visible() and not page.locator("#running").is_visible()
    give(page, picture(), "paste")
    page.get_by_text("Done: 2 of 3").wait_for()
    assert alert.inner_text() == ""


def test_a_slow_file_shows_progress_and_can_be_cancelled(page: Any, system: Inverts):
    system.gate.clear()
    page.set_input_files("#file", {"name": "pages.pdf", "mimeType": "application/pdf", "buffer": pdf(3)})
    page.get_by_text("Translating, page 1 of 3").wait_for()
    assert page.locator("progress").evaluate("bar => [bar.value, bar.max]") == [0, 3]
    system.gate.set()
    page.get_by_text("Done: 6 of 9 blocks").wait_for()
    assert page.get_by_text("Page 1 of 3").is_visible()
    assert page.get_by_label("Translation of block 1").get_attribute("readonly") is not None
    page.get_by_role("button", name="Next page").click()
    page.get_by_text("Page 2 of 3").wait_for()
    system.gate.clear()
    give(page, pdf(1))  # drawn again are pictures alone
    page.get_by_text("Translating …").wait_for()
    system.gate.set()
    page.get_by_text("Done: 2 of 3 blocks").wait_for()
    assert page.get_by_label("Translation of block 1").get_attribute("readonly") is not None
    system.gate.clear()
    give(page, pdf(3))
    page.get_by_text("Translating, page 1 of 3").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for()


def test_settings_and_the_glossary_are_sent(page: Any, system: Inverts):
    page.get_by_text("Settings").click()
    page.get_by_role("combobox", name="To", exact=True).select_option("fr")
    page.get_by_label("System").select_option("cascade-reader-render")
    page.get_by_label("Glossary").fill("no sign")
    give(page, picture())
    page.get_by_text("Glossary, line 1: write word = translation").wait_for()
    page.get_by_label("Glossary").fill("Hund = hound\n\nBerlin =")
    give(page, picture())
    page.get_by_text("Done").wait_for()
    (asked,) = system.asked
    assert asked.target_language == "fr" and asked.glossary is not None and len(asked.glossary) == 2


def test_german_keyboard_and_names_for_screen_readers(page: Any):
    give(page, picture((300, 200)))
    page.get_by_text("Done").wait_for()
    page.get_by_label("Language of this page").select_option("de")
    assert page.locator("html").get_attribute("lang") == "de"
    assert page.get_by_text("Fertig: 2 von 3 Blöcken übersetzt.").is_visible()
    assert page.get_by_text("zweifelhaft: bitte prüfen (31 %)").is_visible()
    untold = page.evaluate(
        "[...document.querySelectorAll('button, a, input, select, textarea, summary')].filter((one) => "
        "!(one.innerText || one.ariaLabel || (one.labels && one.labels[0]) || '')).map((one) => one.id)"
    )
    assert untold == []
    assert page.evaluate("Object.keys(TEXTS.en).join()") == page.evaluate("Object.keys(TEXTS.de).join()")
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")
    assert page.locator("#before").evaluate("one => one.style.clipPath").startswith("inset(0")
    assert slider.input_value() == "100"
    page.locator("#boxes button").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.ariaLabel") == "Übersetzung von Block 1"


def test_it_fits_a_small_screen_and_reads_in_light_and_dark(browser: Any, address: str):
    with visited(browser, address, viewport={"width": 360, "height": 740}) as page:
        give(page, picture((300, 200)))
        page.get_by_text("Done").wait_for()
        page.get_by_text("Settings").click()
        page.get_by_label("Translation of block 2").fill("More words than a line of a small screen has room for.")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            assert page.evaluate(CUT_OFF) == []
            contrasts = page.evaluate(CONTRASTS)
            assert len(contrasts) > 10 and min(contrasts.values()) >= 4.5, contrasts


def test_a_token_is_asked_for_on_the_page(browser: Any):
    with running(service(), token="s3cret") as address, visited(browser, address) as page:
        page.get_by_text("a token is wanted").wait_for()
        page.get_by_label("Token of this service").fill("s3cret")
        give(page, picture())
        page.get_by_text("Done: 2 of 3").wait_for()


def test_a_service_that_answers_late_is_waited_for(browser: Any):
    with running(service(), late=1.0) as address, visited(browser, address) as page:
        assert page.locator("#system option").count() > 0
        give(page, picture())
        page.get_by_text("Done: 2 of 3").wait_for()


# text fields that show a part of their text
CUT_OFF = """[...document.querySelectorAll('#blocks textarea')]
  .filter((one) => one.scrollHeight > one.clientHeight + 1).map((one) => one.value)"""
# WCAG 2: contrast of each text with the ground that it stands on
CONTRASTS = """() => {
  const level = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number);
    return 0.2126 * level(r) + 0.7152 * level(g) + 0.0722 * level(b);
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  const texts = "h1, h2, h3, p, span, label, summary, q, textarea, select, .button, button";
  for (const one of document.querySelectorAll(texts)) {
    if (!one.checkVisibility() || !(one.textContent || one.value)) continue;
    const [dark, bright] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => a - b);
    const name = one.id || one.className || (one.textContent || one.value).slice(0, 20);
    found[`${one.tagName} ${name}`] = (bright + 0.05) / (dark + 0.05);
  }
  return found;
}"""

"""Which picture goes where, and what happens when one of them is bad."""

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.inference.fakes import FakeGenerate, fake_translator
from translatotron_v.errors import UserError
from translatotron_v.inference import files, naming
from translatotron_v.inference.files import plan_jobs, translate_jobs
from translatotron_v.inference.jobs import KNOWN, left_out, without_existing
from translatotron_v.inference.loaded import Translation
from translatotron_v.inference.pictures import open_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "in"
    (source / "deeper").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "deeper/c.webp"):
        Image.new("RGB", (64, 16), "white").save(source / name)
    (source / "notes.txt").write_text("no picture")
    (source / ".hidden.png").write_bytes(b"")
    return source


def pairs(jobs, root: Path) -> list[tuple[str, str]]:
    return [(job.source.relative_to(root).as_posix(), job.target.relative_to(root).as_posix()) for job in jobs]


def test_a_file_goes_to_a_file(folder: Path):
    jobs = plan_jobs([str(folder / "b.png")], folder.parent / "new" / "b.webp")
    assert pairs(jobs, folder.parent) == [("in/b.png", "new/b.webp")]


def test_a_file_goes_into_a_folder(folder: Path):
    jobs = plan_jobs([str(folder / "a.jpg")], folder.parent / "out")
    assert pairs(jobs, folder.parent) == [("in/a.jpg", "out/a.png")]


def test_a_folder_goes_into_a_folder_sorted_and_without_what_is_no_picture(folder: Path):
    jobs = plan_jobs([str(folder)], folder.parent / "out")
    assert pairs(jobs, folder.parent) == [("in/a.jpg", "out/a.png"), ("in/b.png", "out/b.png")]


def test_globs_reach_into_folders_and_repeat_nothing(folder: Path):
    jobs = plan_jobs([f"{folder}/**/*.*", str(folder / "b.png")], folder.parent / "out")
    assert [job.target.name for job in jobs] == ["a.png", "b.png", "c.png"]


def test_a_name_with_brackets_is_a_name(folder: Path):
    (folder / "b.png").rename(folder / "b[1].png")
    assert [job.target.name for job in plan_jobs([str(folder / "b[1].png")], folder.parent / "out")] == ["b[1].png"]


def test_equal_stems_keep_their_extensions(folder: Path):
    (folder / "a.jpg").rename(folder / "b.jpg")
    jobs = plan_jobs([str(folder)], folder.parent / "out")
    assert [job.target.name for job in jobs] == ["b.jpg.png", "b.png.png"]


def test_names_never_collide(folder: Path):
    for name in ("deeper/b.png", "B.jpg", "deeper/a.jpg", "b-compare.png"):
        Image.new("L", (8, 8)).save(folder / name)
    inputs = [str(folder), str(folder / "deeper"), f"{folder}/../in/b.png"]
    jobs = plan_jobs(inputs, folder.parent / "out", compare=True)
    assert pairs(jobs, folder.parent) == [
        ("in/B.jpg", "out/B.jpg.png"),
        ("in/a.jpg", "out/in-a.jpg.png"),
        ("in/b-compare.png", "out/b-compare.png.png"),
        ("in/b.png", "out/in-b.png.png"),
        ("in/deeper/a.jpg", "out/deeper-a.jpg.png"),
        ("in/deeper/b.png", "out/deeper-b.png.png"),
        ("in/deeper/c.webp", "out/c.png"),
    ]
    written = [path for job in jobs for path in job.outputs]
    assert len(set(written)) == len(written) == 14
    paths = [Path(f"{place}/in/{name}") for place in ("x", "y") for name in ("b.png", "b-compare.png")]
    names = naming.distinct(paths, [".png"] * 4, [Path()] * 4, lambda path: [path])
    assert len(set(names)) == 4 and all(re.fullmatch(r"(b|b-compare)\.png-[0-9a-f]{8}\.png", str(n)) for n in names)
    assert names[:2] == naming.distinct(paths, [".png"] * 4, [Path()] * 4, lambda path: [path])[:2]


def test_folders_in_folders_keep_their_places(folder: Path):
    (folder / ".hidden").mkdir()
    (folder / "out" / "deeper").mkdir(parents=True)
    for name in ("deeper/page10.png", "deeper/page2.png", ".hidden/d.png", "out/e.png", "out/deeper/f.png"):
        Image.new("L", (8, 8)).save(folder / name)
    (folder / "deeper" / "more.txt").write_text("no picture")
    out = folder / "out"
    assert pairs(plan_jobs([str(folder)], out, recursive=True), folder) == [
        ("a.jpg", "out/a.png"),
        ("b.png", "out/b.png"),
        ("deeper/c.webp", "out/deeper/c.png"),
        ("deeper/page2.png", "out/deeper/page2.png"),
        ("deeper/page10.png", "out/deeper/page10.png"),
    ]
    left = left_out([str(folder)], out, recursive=True)
    assert [outcome.job.source.name for outcome in left] == ["more.txt", "notes.txt"]


def test_comparisons_stand_beside_their_answers(folder: Path):
    jobs = plan_jobs([str(folder / "b.png")], folder.parent / "out", compare=True)
    assert [path.name for path in jobs[0].outputs] == ["b.png", "b-compare.png"]


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["in"], "out.png", "one file cannot take 2 pictures"),
        (["in/b.png"], "out.xyz", "unknown kind of picture"),
        (["in/*.tiff"], "out", "matches no picture"),
        (["in/empty"], "out", "no pictures in this folder"),
        (["in"], "in/notes.txt", "a file, where a folder is needed"),
    ],
)
def test_bad_plans_fail_before_any_work(folder: Path, monkeypatch, inputs: list[str], output: str, message: str):
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder.parent)
    with pytest.raises(UserError, match=message):
        plan_jobs(inputs, output)


def test_one_bad_picture_stops_nobody(folder: Path):
    (folder / "aa.png").write_bytes(b"broken")
    out = folder.parent / "out"
    outcomes = list(translate_jobs(fake_translator(), plan_jobs([str(folder), "missing.png"], out), batch_size=2))
    errors = {outcome.job.source.name: outcome.error for outcome in outcomes}
    assert errors["a.jpg"] is None and errors["b.png"] is None
    assert "aa.png: not a PNG" in str(errors["aa.png"])
    assert errors["missing.png"] == "missing.png: no such file"
    assert sorted(file.name for file in out.iterdir()) == ["a.png", "b.png"]


def test_nothing_is_overwritten_without_force(folder: Path):
    out = folder.parent / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"precious")
    generate = FakeGenerate()
    jobs = plan_jobs([str(folder)], out)
    outcomes = list(translate_jobs(fake_translator(generate), jobs))
    assert [outcome.error is None for outcome in outcomes] == [False, True]
    assert (out / "a.png").read_bytes() == b"precious"
    assert [shape[0] for shape, _ in generate.calls] == [1]  # no work is spent on what is not written
    assert all(outcome.error is None for outcome in translate_jobs(fake_translator(), jobs, force=True))
    assert open_picture(out / "a.png").size == (64, 16)


def test_large_pictures_are_translated_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "TOGETHER", 2500)
    (tmp_path / "in").mkdir()
    for index, width in enumerate([100, 100, 10, 400, 10, 10]):
        Image.new("L", (width, 10), 255).save(tmp_path / "in" / f"{index}.png")
    (tmp_path / "in" / "1a.png").write_bytes(b"broken")
    generate = FakeGenerate()
    jobs = plan_jobs([str(tmp_path / "in")], tmp_path / "out", compare=True)
    outcomes = list(translate_jobs(fake_translator(generate), jobs))
    assert [shape[0] for shape, _ in generate.calls] == [3, 1, 2]  # 2,100, 4,000 and 200 pixels
    assert [outcome.job.source.stem for outcome in outcomes] == ["1a", "0", "1", "2", "3", "4", "5"]
    written = [open_picture(tmp_path / "out" / f"{index}.png").size[0] for index in range(6)]
    assert written == [100, 100, 10, 400, 10, 10]
    generate.calls.clear()
    assert len(list(translate_jobs(fake_translator(generate), jobs, force=True, batch_size=2))) == 7
    assert [shape[0] for shape, _ in generate.calls] == [2, 1, 1, 2]


def test_a_picture_that_breaks_the_model_takes_no_other_with_it(folder: Path):
    for index in range(3):
        Image.new("L", (32 + index, 16), 255).save(folder / f"{index}.png")

    class Fragile(FakeGenerate):
        def __call__(self, model, vocabulary, pixels, generation):
            answer = super().__call__(model, vocabulary, pixels, generation)
            if any(text == "ink 1" for text in answer.texts):
                raise RuntimeError("not enough memory: you tried to allocate 9 GB\nmore of it")
            return answer

    marked = Image.new("L", (64, 16), 255)
    marked.putpixel((9, 9), 0)
    marked.save(folder / "1.png")
    outcomes = {
        outcome.job.source.name: outcome
        for outcome in translate_jobs(fake_translator(Fragile()), plan_jobs([str(folder)], folder.parent / "out"))
    }
    errors = {name for name, outcome in outcomes.items() if outcome.error}
    assert errors == {"1.png"} and len(outcomes) == 5
    assert outcomes["1.png"].error == (
        f"{folder / '1.png'}: cannot be translated (RuntimeError: not enough memory: you tried to allocate 9 GB)"
    )


def test_places_that_take_no_file_are_named_before_any_work(folder: Path):
    (folder / "file").write_text("")
    generate = FakeGenerate()
    outputs = [folder / "file" / "out.png", folder / "file" / "a" / "out.png", folder / f"{'n' * 300}.png"]
    for output in outputs:
        [job] = plan_jobs([str(folder / "b.png")], output)
        [outcome] = translate_jobs(fake_translator(generate), [job])
        assert f"{output}: cannot be written (" in str(outcome.error) and "\n" not in str(outcome.error)
    assert not generate.calls


def test_files_of_several_frames_stay_what_they_are_among_pictures(folder: Path):
    frames = [Image.new("RGB", (64, 16), colour) for colour in ("white", "red")]
    frames[0].save(folder / "film.webp", save_all=True, append_images=frames[1:])
    generate, told = FakeGenerate(), []
    jobs = plan_jobs([str(folder)], folder.parent / "out")
    outcomes = {
        outcome.job.source.name: outcome
        for outcome in translate_jobs(
            fake_translator(generate),
            jobs,
            progress=lambda job, done, count: told.append((job.source.name, done, count)),
        )
    }
    assert [shape[0] for shape, _ in generate.calls] == [4]  # frames and pictures share a batch
    film = outcomes["film.webp"]
    assert film.job.target.name == "film.webp" and film.translation is None and film.warnings == ()
    assert [page.text.split()[0] for page in film.pages] == ["ink", "ink"] and film.sizes == ((64, 16), (64, 16))
    with Image.open(film.job.target) as image:
        assert image.n_frames == 2
    assert [line for line in told if line[0] == "film.webp"] == [("film.webp", done, 2) for done in range(3)]
    assert outcomes["b.png"].translation is not None and outcomes["b.png"].pages == ()


def test_a_comparison_shows_both(folder: Path):
    jobs = plan_jobs([str(folder / "b.png")], folder.parent / "out", compare=True)
    list(translate_jobs(fake_translator(), jobs))
    assert open_picture(folder.parent / "out" / "b-compare.png").size == (64 + 64 + 24, 16 + 16)


def test_a_folder_of_everything_is_done_as_far_as_it_goes(folder: Path):
    """Fault by fault: what is no picture is named, what is broken is an error of its own, and the rest is written."""
    picture = Image.new("RGB", (64, 16), "white")
    picture.save(folder / "photo.jfif", "JPEG")
    picture.save(folder / "plain", "PNG")  # told by its content
    picture.save(folder / "moving.gif", save_all=True, append_images=[Image.new("RGB", (64, 16), "red")])
    picture.save(folder / "phone.avif")
    (folder / "drawing.svg").write_text("<svg/>")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    (folder / "link.png").symlink_to(folder / "nowhere")
    (folder / "Makefile").write_text("all:\n")
    (folder.parent / "empty").mkdir()
    inputs = [str(folder), str(folder.parent / "empty"), str(folder / "*.heic")]
    jobs = plan_jobs(inputs, folder.parent / "out")
    outcomes = {outcome.job.source.name: outcome for outcome in translate_jobs(fake_translator(), jobs)}
    written = {file.name for file in (folder.parent / "out").iterdir()}
    assert written == {"a.png", "b.png", "photo.png", "plain.png", "moving.gif", "phone.png"}
    assert {name for name, outcome in outcomes.items() if outcome.error is not None} == {"broken.pdf", "link.png"}
    assert "link.png: a link to a file that is not there" in str(outcomes["link.png"].error)
    others = left_out(inputs, folder.parent / "out")
    assert [outcome.error for outcome in others if outcome.error] == [
        f"{folder.parent / 'empty'}: no pictures in this folder ({', '.join(KNOWN)})",
        f"{folder / '*.heic'}: matches no picture",
    ]
    assert {
        outcome.job.source.name: outcome.skip_reason.split(": ")[1] for outcome in others if outcome.skip_reason
    } == {
        "drawing.svg": "an SVG drawing, which is not read; export it as PNG or PDF first",
        "Makefile": "not a PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF or HEIC picture",
        "notes.txt": "not a PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF or HEIC picture",
    }


def test_pages_come_in_the_order_that_people_count_in(folder: Path):
    for name in ("page10.png", "page2.png"):
        (folder / "b.png").rename(folder / name) if name == "page2.png" else Image.new("L", (8, 8)).save(folder / name)
    assert [job.source.name for job in plan_jobs([str(folder)], "out")] == ["a.jpg", "page2.png", "page10.png"]


def test_what_exists_is_skipped_and_what_was_cut_off_is_done_again(folder: Path):
    jobs = plan_jobs([str(folder)], folder.parent / "out", compare=True)
    list(translate_jobs(fake_translator(), jobs))
    before = {file.name: file.stat().st_mtime_ns for file in (folder.parent / "out").iterdir()}
    assert set(before) == {"a.png", "a-compare.png", "b.png", "b-compare.png"}
    left, existing = without_existing(jobs)
    assert left == [] and [outcome.existing for outcome in existing] == [True, True]
    (folder.parent / "out" / "a-compare.png").unlink()
    left, existing = without_existing(jobs)
    assert [job.source.name for job in left] == ["a.jpg"] and len(existing) == 1
    assert all(outcome.error is None for outcome in translate_jobs(fake_translator(), left))
    after = {file.name: file.stat().st_mtime_ns for file in (folder.parent / "out").iterdir()}
    assert set(after) == set(before) and after["b.png"] == before["b.png"]


def test_a_file_without_a_change_is_copied_byte_for_byte(folder: Path, monkeypatch: pytest.MonkeyPatch):
    frames = [Image.new("RGB", (64, 16), colour) for colour in ("white", "red")]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:], comment=b"mine")
    translator = fake_translator()
    monkeypatch.setattr(
        translator, "translate", lambda pictures, **_: [Translation(picture, "", "", {}) for picture in pictures]
    )
    [job] = plan_jobs([str(folder / "film.gif")], folder.parent / "out")
    [other] = plan_jobs([str(folder / "a.jpg")], folder.parent / "a.jpg")
    turned = Image.Exif()
    turned[274] = 6
    frames[0].save(folder / "turned.jpg", exif=turned)
    [last] = plan_jobs([str(folder / "turned.jpg")], folder.parent / "turned.jpg")
    outcomes = list(translate_jobs(translator, [job, other, last]))
    assert [outcome.warnings for outcome in outcomes[:2]] == [(), ()]
    assert all(one.target.read_bytes() == one.source.read_bytes() for one in (job, other))
    with Image.open(last.target) as image:  # its pixels stand otherwise: written anew
        assert image.size == (16, 64) and 274 not in image.getexif()


def test_a_bad_page_is_left_and_a_cut_file_is_not_written(folder: Path, monkeypatch: pytest.MonkeyPatch):
    pages = [Image.new("L", (64, 16), level) for level in (250, 10, 200)]
    for name in ("pages.tif", "cut.tif"):
        pages[0].save(folder / name, save_all=True, append_images=pages[1:])
    content = (folder / "cut.tif").read_bytes()
    (folder / "cut.tif").write_bytes(content[: len(content) * 2 // 3])
    translator = fake_translator()
    translate = translator.translate

    def picky(pictures, **options):
        if any(picture.getpixel((0, 0)) == 10 for picture in pictures):
            raise RuntimeError("too dark")
        return translate(pictures, **options)

    monkeypatch.setattr(translator, "translate", picky)
    jobs = plan_jobs([str(folder / "pages.tif"), str(folder / "cut.tif")], folder.parent / "out")
    outcomes = {outcome.job.source.name: outcome for outcome in translate_jobs(translator, jobs, batch_size=8)}
    warning = f"{folder / 'pages.tif'}: page 2 is left as it was: cannot be translated (RuntimeError: too dark)"
    assert outcomes["pages.tif"].warnings == (warning,)
    with Image.open(folder.parent / "out" / "pages.tif") as image:
        image.seek(1)
        assert image.getpixel((0, 0)) == 10 and image.n_frames == 3
    assert "cut.tif: broken picture" in str(outcomes["cut.tif"].error)
    assert [file.name for file in (folder.parent / "out").iterdir()] == ["pages.tif"]

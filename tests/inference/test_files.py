"""Which picture goes where, and what happens when one of them is bad."""

from pathlib import Path

import pytest
from PIL import Image

from tests.inference.fakes import FakeGenerate, fake_translator
from translatotron_v.errors import UserError
from translatotron_v.inference import files
from translatotron_v.inference.files import plan_jobs, translate_jobs
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
        (["in/b.png", "in/deeper/b.png"], "out", "would both be written to"),
    ],
)
def test_bad_plans_fail_before_any_work(folder: Path, monkeypatch, inputs: list[str], output: str, message: str):
    (folder / "empty").mkdir()
    Image.new("L", (8, 8)).save(folder / "deeper" / "b.png")
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
            fake_translator(generate), jobs, progress=lambda job, done, count: told.append((job.source.name, done, count))
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

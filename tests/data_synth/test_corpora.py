"""Text pairs out of Moses files, TSV and IWSLT releases."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from data_synth.cli import main
from data_synth.corpora import TextPair, missing_parts, read_pairs, read_texts
from data_synth.errors import UserError

XML = """<?xml version="1.0" encoding="UTF-8"?>
<mteval>
<{kind} setid="iwslt" srclang="german">
<doc docid="535" genre="lectures">
<url>http://example.org</url>
<title>not a sentence</title>
<seg id="1"> {name} one &amp; &lt;more&gt; </seg>
<seg id="2"> {name} two </seg>
</doc>
</{kind}>
</mteval>
"""


def _release(training: int = 50) -> dict[str, str]:
    """The files of a small IWSLT release, as they are named in the real one."""
    files = {}
    for language in ("de", "en"):
        head = "<url>http://x</url>\n<keywords>talks</keywords>\n<speaker>S</speaker>\n<talkid>1</talkid>\n"
        head += f"<title>T {language}</title>\n"
        head += f"<description>About {language}</description>\n"
        body = "".join(f"{language} sentence {i}\n" for i in range(training))
        files[f"de-en/train.tags.de-en.{language}"] = head + body
        for name in ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2013"):
            kind = "srcset" if language == "de" else "refset"
            files[f"de-en/IWSLT14.{name}.de-en.{language}.xml"] = XML.format(kind=kind, name=f"{name} {language}")
    return files


@pytest.fixture(params=["archive", "folder"])
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return _write(_release(), tmp_path, request.param)


def _write(files: dict[str, str], folder: Path, form: str) -> Path:
    if form == "folder":
        for name, text in files.items():
            path = folder / "unpacked" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder / "unpacked"
    path = folder / "de-en.tgz"
    path.write_bytes(packed(files, "tgz"))
    return path


def test_iwslt_training_text_loses_its_tags_and_every_23rd_pair(release: Path) -> None:
    train = read_pairs(release, "de", "en")
    validation = read_pairs(release, "de", "en", "validation")
    # 50 sentences with a title and a description in front; numbers 23 and 46 of these 52 go to validation
    assert [pair.source for pair in validation] == ["de sentence 20", "de sentence 43"]
    assert len(train) == 50
    assert train[0] == TextPair("T de", "T en") and train[1] == TextPair("About de", "About en")
    assert not any("<" in pair.source + pair.target for pair in train)
    assert not {pair.source for pair in train} & {pair.source for pair in validation}


def test_iwslt_test_set_joins_the_customary_sets_in_order(release: Path) -> None:
    test = read_pairs(release, "de", "en", "test")
    assert [pair.source for pair in test[::2]] == [
        f"{name} de one & <more>" for name in ("TED.dev2010", "TEDX.dev2012", "TED.tst2010")
    ]
    assert test[3] == TextPair("TEDX.dev2012 de two", "TEDX.dev2012 en two")


def test_an_iwslt_release_serves_both_directions(release: Path) -> None:
    forward, backward = read_pairs(release, "de", "en"), read_pairs(release, "en", "de")
    assert [(pair.source, pair.target) for pair in forward] == [(pair.target, pair.source) for pair in backward]


def test_xml_that_declares_entities_is_refused(tmp_path: Path) -> None:
    files = _release()
    name = "de-en/IWSLT14.TED.dev2010.de-en.de.xml"
    files[name] = files[name].replace("<mteval>", '<!DOCTYPE x [<!ENTITY a "aaaa">]>\n<mteval>')
    with pytest.raises(UserError, match=r"IWSLT14\.TED\.dev2010\.de-en\.de\.xml.*refused"):
        read_pairs(_write(files, tmp_path, "folder"), "de", "en", "test")


def test_a_damaged_release_names_both_files_and_their_counts(tmp_path: Path) -> None:
    files = _release()
    files["de-en/train.tags.de-en.en"] += "one too many\n"
    with pytest.raises(UserError, match=r"train\.tags\.de-en\.de has 52 .*train\.tags\.de-en\.en has 53"):
        read_pairs(_write(files, tmp_path, "archive"), "de", "en")


def test_a_truncated_archive_is_named(release: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tgz"
    broken.write_bytes(b"\x1f\x8b" + bytes(20))
    with pytest.raises(UserError, match=r"broken\.tgz"):
        read_pairs(broken, "de", "en")


def test_moses_pairs_by_folder_by_prefix_and_gzipped(tmp_path: Path) -> None:
    (tmp_path / "train.de").write_text("eins\nzwei\u2028halb\n\n", encoding="utf-8")
    with gzip.open(tmp_path / "train.en.gz", "wt", encoding="utf-8") as file:
        file.write("one\ntwo\nthree\n")
    expected = [TextPair("eins", "one"), TextPair("zwei\u2028halb", "two")]
    assert read_pairs(tmp_path, "de", "en") == expected
    assert read_pairs(tmp_path / "train", "de", "en") == expected


def test_validation_goes_by_its_usual_names(tmp_path: Path) -> None:
    for language in ("de", "en"):
        (tmp_path / f"val.{language}").write_text("x\n")
    assert len(read_pairs(tmp_path, "de", "en", "validation")) == 1


def test_unequal_counts_name_both_files(tmp_path: Path) -> None:
    (tmp_path / "train.de").write_text("eins\nzwei\n")
    (tmp_path / "train.en").write_text("one\n")
    with pytest.raises(UserError, match=r"train\.de has 2 lines but .*train\.en has 1"):
        read_pairs(tmp_path, "de", "en")


def test_a_missing_file_is_named_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.de and train\.en"):
        read_pairs(tmp_path, "de", "en")


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.de").write_bytes("schön".encode("latin-1"))
    (tmp_path / "train.en").write_text("nice\n")
    with pytest.raises(UserError, match=r"train\.de.*utf-8"):
        read_pairs(tmp_path, "de", "en")


def test_tsv_columns_follow_the_file_name(tmp_path: Path) -> None:
    for name in ("pairs.tsv", "en-de.tsv"):
        (tmp_path / name).write_text("left\tright\tignored\n\nno source\t\n", encoding="utf-8")
    assert read_pairs(tmp_path / "pairs.tsv", "de", "en") == [TextPair("left", "right")]
    assert read_pairs(tmp_path / "en-de.tsv", "de", "en") == [TextPair("right", "left")]
    assert read_pairs(tmp_path / "en-de.tsv", "en", "de") == [TextPair("left", "right")]


def test_a_tsv_line_without_a_tab_is_named(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("a\tb\nno tab\n")
    with pytest.raises(UserError, match="line 2"):
        read_pairs(tmp_path / "pairs.tsv", "de", "en")


def test_all_texts_of_a_corpus_whatever_corresponds(tmp_path: Path):
    (tmp_path / "test.de").write_text("eins\n\nzwei\n", encoding="utf-8")
    (tmp_path / "test.en.gz").write_bytes(gzip.compress(b"one\n"))
    (tmp_path / "test2.de").write_text("nicht gemeint\n", encoding="utf-8")
    assert read_texts(tmp_path / "test") == ["eins", "zwei", "one"]
    assert read_texts(tmp_path / "test.de") == ["eins", "zwei"]
    (tmp_path / "more.tsv").write_text("drei\tthree\tsource\n\nohne\n", encoding="utf-8")
    assert read_texts(tmp_path / "more.tsv") == ["drei", "three", "ohne"]
    assert len(read_texts(tmp_path)) == 7
    with pytest.raises(UserError, match=r"no text at .*none: expected a text, \.tsv or \.xml file, none\.LANGUAGE"):
        read_texts(tmp_path / "none")


@pytest.mark.parametrize("packed", [False, True])
def test_all_texts_of_a_release_are_those_of_its_sets(tmp_path: Path, packed: bool):
    name = "IWSLT17.TED.tst2015.en-de.de.xml"
    content = XML.format(kind="refset", name="tst2015").encode()
    path = tmp_path / name
    path.write_bytes(content)
    if packed:
        path = tmp_path / "en-de.tgz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(tmp_path / name, name)
    assert read_texts(path) == ["tst2015 one & <more>", "tst2015 two"]


def test_an_archive_without_sets_is_refused(tmp_path: Path):
    with tarfile.open(tmp_path / "x.tgz", "w:gz"):
        pass
    with pytest.raises(UserError, match="no IWSLT dev or test set in it"):
        read_texts(tmp_path / "x.tgz")


def test_public_texts_come_with_the_program():
    pairs = read_pairs("public-texts", "de", "en")
    assert len(pairs) > 2500 and TextPair("Ausgang", "Exit") in pairs
    assert len(set(pairs)) == len(pairs)
    back = read_pairs("public-texts", "en", "de")
    assert [(pair.target, pair.source) for pair in back] == [(pair.source, pair.target) for pair in pairs]
    with pytest.raises(UserError, match="public-texts is in de and en, not in fr and en"):
        read_pairs("public-texts", "fr", "en")


def test_the_test_sets_that_a_release_lacks_are_named(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert missing_parts(release, "de", "en", "test") == ["tst2011", "tst2012"]
    assert missing_parts(release, "en", "de", "test") == ["tst2011", "tst2012"]
    assert missing_parts(release, "de", "en", "train") == []
    out = str(release.parent / "pages")
    assert main([out, "--text", str(release), "--split", "test", "--count", "1", "--workers", "1"]) == 0
    assert f"note: the test set of {release.name} (without tst2011, tst2012, which" in capsys.readouterr().err
    assert "without tst2011, tst2012" in (release.parent / "pages" / "README.md").read_text(encoding="utf-8")


def test_files_of_a_folder_lack_nothing(tmp_path: Path) -> None:
    for language in ("de", "en"):
        (tmp_path / f"test.{language}").write_text("x\n")
    assert missing_parts(tmp_path, "de", "en", "test") == []


@pytest.mark.parametrize("inner", ["tgz", "zip"])
@pytest.mark.parametrize("outer", ["tgz", "zip", "folder"])
def test_the_archive_of_a_whole_year_is_taken_as_it_is(tmp_path: Path, inner: str, outer: str) -> None:
    """A year's archive holds that of each pair; of another pair nothing is read, or this one would be refused."""
    pairs = {f"2014-01/texts/de/en/de-en.{inner}": packed(_release(), inner)}
    pairs[f"2014-01/texts/en/fr/en-fr.{inner}"] = b"broken"
    if outer == "folder":
        for name, content in pairs.items():
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_bytes(content)
        path = tmp_path / "2014-01"
    else:
        path = tmp_path / f"2014-01.{outer}"
        path.write_bytes(packed(pairs, outer))
    assert len(read_pairs(path, "de", "en")) == 50
    assert next(pair.target for pair in read_pairs(path, "en", "de", "test")) == "TED.dev2010 de one & <more>"


def packed(files: Mapping[str, str | bytes], kind: str) -> bytes:
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def test_both_sides_of_a_set_are_of_one_campaign(tmp_path: Path) -> None:
    """TED's and TEDX's dev2012, and those of two years, differ: a side of one never meets a side of the other."""
    for campaign, languages in (("IWSLT14.TED", ("en",)), ("IWSLT14.TEDX", ("de", "en")), ("IWSLT17.TED", ("de",))):
        for language in languages:
            text = XML.format(kind="refset", name=f"{campaign} {language}")
            (tmp_path / f"{campaign}.dev2012.de-en.{language}.xml").write_text(text, encoding="utf-8")
    pairs = read_pairs(tmp_path, "de", "en", "test")
    assert pairs[1] == TextPair("IWSLT14.TEDX de two", "IWSLT14.TEDX en two")

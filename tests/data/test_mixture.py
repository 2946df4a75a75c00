"""A mixture of corpora: what its YAML must say, what the cache holds, and what is drawn where."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from translatotron_v.data.cleaning import Rules, is_held_back
from translatotron_v.data.mixture import Draws, MixtureError, Store, load_mixture, prepare, shares

RULES = Rules(identify=False)
SETTINGS: dict = {
    "domains": {"long": 0.75, "short": 0.25},
    "languages": {"de": 0.8, "fr": 0.2},
    "held_back": 0.0,
    "corpora": [
        {"name": "a", "path": "a.tsv", "languages": ["de", "en"], "domain": "long"},
        {"name": "b", "path": "b.tsv", "languages": ["de", "en"], "domain": "short", "weight": 3},
        {"name": "c", "path": "c", "languages": ["de", "en"], "domain": "short"},
        {"name": "d", "path": "d.tsv", "languages": ["fr", "en"], "domain": "short"},
    ],
}
SIZES = {"a": 40, "b": 10, "c": 30, "d": 7}


def write(folder: Path, **changes: object) -> Path:
    """The mixture's YAML, with some keys changed."""
    path = folder / "mixture.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, **changes}, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four corpora: three TSV files and Moses files of a folder."""
    folder = tmp_path_factory.mktemp("root")
    for name, size in SIZES.items():
        pairs = [
            (f"Quelle {name} {'xyz'[i % 3]} Wort{i}", f"source {name} {'xyz'[i % 3]} word{i}") for i in range(size)
        ]
        if name == "c":
            (folder / "c").mkdir()
            for ending, side in (("de", 0), ("en", 1)):
                (folder / "c" / f"train.{ending}").write_text("".join(f"{pair[side]}\n" for pair in pairs))
        else:
            (folder / f"{name}.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    return folder


@pytest.fixture(scope="module")
def stores(root: Path, tmp_path_factory: pytest.TempPathFactory):
    mixture = load_mixture(write(tmp_path_factory.mktemp("yaml")))
    return mixture, prepare(mixture, root, tmp_path_factory.mktemp("cache"), rules=RULES, report=lambda _: None)


def test_corpora_come_back_as_they_were(stores):
    _, found = stores
    assert {corpus.name: len(store) for corpus, store in found.items()} == SIZES
    assert next(iter(found.values()))[3] == ("Quelle a x Wort3", "source a x word3")


def test_shares_are_language_times_domain_times_weight(stores):
    mixture, found = stores
    expected = {
        "a": 0.8 * 0.75,
        "b": 0.8 * 0.25 * 30 / 60,  # ten pairs, each drawn three times as often as one of c
        "c": 0.8 * 0.25 * 30 / 60,
        "d": 0.2 * 1.0,  # French has no long texts: its short ones take their share
    }
    got = shares(mixture, {corpus: len(store) for corpus, store in found.items()})
    assert {corpus.name: share for corpus, share in zip(found, got, strict=True)} == pytest.approx(expected)


def test_draws_are_by_weight_and_every_pair_comes_before_any_comes_again(stores):
    mixture, found = stores
    draws = Draws(mixture, found, seed=5)
    drawn = [pair for window in range(10) for pair in draws.window(window, 50)]
    counts = Counter(index for index, _ in drawn)
    assert len(drawn) == pytest.approx(500, abs=4)
    for index, share in enumerate(draws.shares):
        assert counts[index] == pytest.approx(500 * share, abs=1)
        own = Counter(pair for corpus, pair in drawn if corpus == index)
        size = len(draws.stores[index])
        assert max(own.values()) - min(own.get(pair, 0) for pair in range(size)) <= 1


def test_a_window_is_a_function_of_seed_and_place(stores):
    mixture, found = stores
    first, again = Draws(mixture, found, seed=5), Draws(mixture, found, seed=5)
    in_order = [first.window(number, 50) for number in range(6)]
    assert [again.window(number, 50) for number in (5, 2, 0)] == [in_order[5], in_order[2], in_order[0]]
    assert Draws(mixture, found, seed=6).window(0, 50) != in_order[0]


def test_the_cache_is_read_once_and_weights_do_not_touch_it(root: Path, tmp_path: Path):
    lines: list[str] = []
    mixture = load_mixture(write(tmp_path))
    prepare(mixture, root, tmp_path / "cache", rules=RULES, report=lines.append)
    assert len(lines) == len(SIZES) and "a: 40 pairs, kept 40" in lines[0]
    heavier = [{**SETTINGS["corpora"][0], "weight": 9}, *SETTINGS["corpora"][1:]]
    again = prepare(
        load_mixture(write(tmp_path, corpora=heavier)), root, tmp_path / "cache", rules=RULES, report=lines.append
    )
    assert len(lines) == len(SIZES)
    assert [len(store) for store in again.values()] == list(SIZES.values())
    prepare(mixture, root, tmp_path / "cache", rules=Rules(identify=False, most_ratio=2.0), report=lines.append)
    assert len(lines) == 2 * len(SIZES)  # other rules, another cache


def test_what_is_held_back_is_never_drawn(root: Path, tmp_path: Path):
    mixture = load_mixture(write(tmp_path, held_back=0.3))
    found = prepare(mixture, root, tmp_path / "cache", rules=RULES, report=lambda _: None)
    for corpus, store in found.items():
        drawn = {store[index][0] for index in range(len(store))}
        held = {source for source, _ in store.held_back}
        assert len(drawn) + len(held) == SIZES[corpus.name] and not drawn & held
        assert all(is_held_back(source, 0.3) for source in held)
    assert sum(len(store.held_back) for store in found.values()) > 5


def test_lines_of_test_sets_are_left_out(root: Path, tmp_path: Path):
    (tmp_path / "root").mkdir()
    for path in root.iterdir():
        (tmp_path / "root" / path.name).symlink_to(path)
    (tmp_path / "root" / "test.tsv").write_text("QUELLE A X wort3!\tnothing\nganz anderes\tSource a y word4.\n")
    mixture = load_mixture(write(tmp_path, held_out=["test.tsv"]))
    store = next(
        iter(prepare(mixture, tmp_path / "root", tmp_path / "cache", rules=RULES, report=lambda _: None).values())
    )
    assert len(store) == 38
    assert not {store[index][0] for index in range(38)} & {"Quelle a x Wort3", "Quelle a y Wort4"}


def test_a_missing_corpus_is_named_and_left_out_only_on_request(root: Path, tmp_path: Path):
    more = [*SETTINGS["corpora"], {"name": "e", "path": "none/e.tsv", "languages": ["fr", "en"], "domain": "long"}]
    mixture = load_mixture(write(tmp_path, corpora=more))
    with pytest.raises(MixtureError, match=r"e \(none/e\.tsv\).*data\.allow_missing=true"):
        prepare(mixture, root, tmp_path / "cache", rules=RULES)
    lines: list[str] = []
    found = prepare(mixture, root, tmp_path / "cache", allow_missing=True, rules=RULES, report=lines.append)
    assert len(found) == 4 and "going on without e (none/e.tsv)" in lines[0]


def test_of_many_missing_corpora_a_few_are_named(root: Path, tmp_path: Path):
    more = [{"name": f"e{n}", "path": f"none/{n}", "languages": ["fr", "en"], "domain": "long"} for n in range(9)]
    mixture = load_mixture(write(tmp_path, corpora=[*SETTINGS["corpora"], *more]))
    with pytest.raises(MixtureError, match=r"9 of 13 .*: .*e0 \(none/0\), .*and 6 more; docs/data\.md"):
        prepare(mixture, root, tmp_path / "cache", rules=RULES)


def test_a_preparation_that_was_cut_off_leaves_nothing_half_done(root: Path, tmp_path: Path):
    bad = [*SETTINGS["corpora"][:1], {"name": "x", "path": "x.tsv", "languages": ["de", "en"], "domain": "long"}]
    (root / "x.tsv").write_text("no tab here\n")
    mixture = load_mixture(write(tmp_path, corpora=bad))
    with pytest.raises(Exception, match=r"x\.tsv, line 1"):
        prepare(mixture, root, tmp_path / "cache", rules=RULES, report=lambda _: None)
    whole = [path for path in (tmp_path / "cache").iterdir() if not path.name.endswith(".part")]
    assert len(whole) == 1 and len(Store(whole[0])) == 40
    (root / "x.tsv").unlink()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"domain": {}}, "unknown key 'domain'; there are"),
        ({"corpora": []}, "the mixture lists none"),
        ({"languages": {"de": 0.0, "fr": 0}}, "languages: the weights must not be negative and must sum to more than"),
        ({"domains": {"long": 1}}, "b: 'short' has no share under domains"),
        ({"languages": {"de": 1}}, "d: 'fr' has no share under languages"),
        ({"corpora": [*SETTINGS["corpora"], SETTINGS["corpora"][0]]}, "the name 'a' stands twice"),
        ({"corpora": [{**SETTINGS["corpora"][0], "languages": ["de", "xx"]}]}, "a: .*xx"),
        ({"corpora": [{**SETTINGS["corpora"][0], "weights": 2}]}, "a: unknown key 'weights'"),
        ({"corpora": [{**SETTINGS["corpora"][0], "weight": -2}]}, "a: weight must not be negative"),
        ({"corpora": [{"name": "a", "path": "a.tsv"}]}, "a: languages is missing"),
        ({"corpora": [{**SETTINGS["corpora"][0], "kind": "book"}]}, "a: kind must be text or dictionary"),
    ],
)
def test_bad_mixtures_are_one_line(tmp_path: Path, changes: dict, named: str):
    with pytest.raises(MixtureError, match=named) as caught:
        load_mixture(write(tmp_path, **changes))
    assert "\n" not in str(caught.value) and "mixture.yaml" in str(caught.value)


def test_a_mixture_is_laid_over_its_base(tmp_path: Path):
    write(tmp_path)
    more = {"name": "e", "path": "e.tsv", "languages": ["de", "en"], "domain": "long"}
    own = {"base": "mixture.yaml", "domains": {"long": 0.1, "short": 0.9}, "corpora": [more]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    mixture = load_mixture(tmp_path / "own.yaml")
    assert [corpus.name for corpus in mixture.corpora] == ["a", "b", "c", "d", "e"]
    assert mixture.domains == {"long": 0.1, "short": 0.9} and mixture.languages == SETTINGS["languages"]
    write(tmp_path, base="own.yaml")
    with pytest.raises(MixtureError, match=r"own\.yaml: is its own base|mixture\.yaml: is its own base"):
        load_mixture(tmp_path / "own.yaml")


def test_a_mixture_turned_about_reads_the_same_pairs(root: Path, tmp_path: Path):
    """Corpora of other languages drop out; columns, Moses files and validation sets change sides."""
    validation = [{**SETTINGS["corpora"][0], "name": "v"}, {**SETTINGS["corpora"][3], "name": "w"}]
    write(tmp_path, validation=validation)
    own = {"base": "mixture.yaml", "reverse": "de", "languages": {"en": 1}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    mixture = load_mixture(tmp_path / "own.yaml")
    assert [(corpus.name, corpus.languages) for corpus in mixture.corpora] == [(n, ("en", "de")) for n in "abc"]
    assert [(corpus.name, corpus.languages) for corpus in mixture.validation] == [("v", ("en", "de"))]
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.de-en.tsv").write_text("Haus\thouse\n")
    (tmp_path / "root" / "c").symlink_to(root / "c")
    chosen = [{**SETTINGS["corpora"][0], "path": "a.de-en.tsv"}, SETTINGS["corpora"][2]]
    write(tmp_path, corpora=chosen)
    found = prepare(load_mixture(tmp_path / "own.yaml"), tmp_path / "root", tmp_path / "c", rules=RULES, report=str)
    assert [store[0] for store in found.values()] == [("house", "Haus"), ("source c x word0", "Quelle c x Wort0")]
    with pytest.raises(MixtureError, match=r"reverse: no corpus is from 'cs'"):
        load_mixture(write(tmp_path, reverse="cs"))


def test_weights_that_sum_to_nothing_among_what_is_there(root: Path, tmp_path: Path):
    nothing = [{**entry, "weight": 0} for entry in SETTINGS["corpora"]]
    mixture = load_mixture(write(tmp_path, corpora=nothing))
    found = prepare(mixture, root, tmp_path / "cache", rules=RULES, report=lambda _: None)
    with pytest.raises(MixtureError, match="sum to nothing"):
        Draws(mixture, found, seed=1)


def test_the_shipped_mixture_is_sound():
    mixture = load_mixture(Path(__file__).parents[2] / "configs" / "small" / "mixture.yaml")
    assert sum(mixture.domains.values()) == pytest.approx(1) and sum(mixture.languages.values()) == pytest.approx(1)
    assert all(corpus.license for corpus in mixture.corpora)

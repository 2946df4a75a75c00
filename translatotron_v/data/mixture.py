"""Many corpora as one: a YAML file lists them with their weights, and pairs are drawn by weight.

A file may name another one under ``base`` (relative to itself): its own keys take the place of the base's, and its
corpora are added. ``reverse: de`` keeps what is from that language, and turns it about.

Each corpus is read and cleaned once into a folder of the cache: its text as one file and the offsets of its pairs as
another, both memory-mapped, so that nothing is held in memory twice and a second start takes no time. What is drawn at
any place of a run is a function of the seed and that place alone.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from translatotron_v.data.cleaning import Cleaner, HeldOut, Rules, check_languages, is_held_back
from translatotron_v.data.pairs import BUILT_IN, TextPair, read_corpus
from translatotron_v.errors import UserError, named

CACHE_VERSION = 2  # rises when cleaning or the files of the cache change their meaning


class MixtureError(UserError):
    """A mixture that cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Corpus:
    """One corpus of a mixture.

    Attributes:
        name: for reports.
        path: file, folder or Moses prefix, from ``data.folder``; or a built-in corpus such as ``grammar``.
        languages: of the source and of the target.
        domain: what it is drawn as a part of.
        license: its terms, for the model card.
        weight: how often each of its pairs is drawn, relative to the others of its domain and language.
        kind: "text", or "dictionary", whose entries also annotate terms in other corpora.
        case: "true", or "lower" where both sides are in lower case.
        split: of a folder.
        limit: use only the first pairs; 0 uses all.
    """

    name: str
    path: str
    languages: tuple[str, str]
    domain: str
    license: str = ""
    weight: float = 1.0
    kind: str = "text"
    case: str = "true"
    split: str = "train"
    limit: int = 0


@dataclass(frozen=True)
class Mixture:
    """What a mixture's YAML says.

    Attributes:
        corpora: see ``Corpus``.
        domains: share of the pairs drawn, by domain.
        languages: share of the pairs drawn, by source language.
        held_out: test sets (paths from ``data.folder``), no line of which may be trained on.
        held_back: share of each corpus that is never drawn and serves validation.
        validation: sets that are scored while training, as corpora.
    """

    corpora: tuple[Corpus, ...]
    domains: Mapping[str, float]
    languages: Mapping[str, float]
    held_out: tuple[str, ...] = ()
    held_back: float = 0.004
    validation: tuple[Corpus, ...] = ()
    origin: str = field(default="mixture", compare=False)


def load_mixture(path: str | Path) -> Mixture:
    """Read a mixture's YAML.

    Raises:
        MixtureError: no such file, an unknown key, a corpus without a domain's or a language's share, shares that sum
            to nothing, or a name that stands twice.
    """
    path = Path(path)
    settings = _read(path)
    reverse = settings.pop("reverse", None)
    _known(settings, Mixture, str(path))
    corpora = tuple(_corpus(entry, f"{path}: corpora") for entry in settings.get("corpora") or [])
    if not corpora:
        raise MixtureError(f"{path}: corpora: the mixture lists none")
    validation = tuple(_corpus(entry, f"{path}: validation") for entry in settings.get("validation") or [])
    if reverse is not None:
        corpora, validation = _turned(corpora, reverse), _turned(validation, reverse)
        if not corpora:
            raise MixtureError(f"{path}: reverse: no corpus is from {reverse!r}")
    mixture = Mixture(
        corpora,
        _shares(settings.get("domains"), "domains", path),
        _shares(settings.get("languages"), "languages", path),
        tuple(settings.get("held_out") or ()),
        float(settings.get("held_back", Mixture.held_back)),
        validation,
        str(path),
    )
    names = [corpus.name for corpus in mixture.corpora]
    for name in names:
        if names.count(name) > 1:
            raise MixtureError(f"{path}: corpora: the name {name!r} stands twice")
    for corpus in mixture.corpora:
        for key, shares in (("domains", mixture.domains), ("languages", mixture.languages)):
            value = corpus.domain if key == "domains" else corpus.languages[0]
            if value not in shares:
                raise MixtureError(f"{path}: {corpus.name}: {value!r} has no share under {key}")
    return mixture


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a mixture's YAML says, laid over what the file says that it names under ``base``."""
    if path.resolve() in above:
        raise MixtureError(f"{path}: is its own base, by way of the files that it names under 'base'")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MixtureError(f"data.mixture: {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MixtureError(f"{path}: not a YAML file: {str(error).splitlines()[0]}") from None
    if not isinstance(settings, dict):
        raise MixtureError(f"{path}: a mixture holds keys and values")
    base = settings.pop("base", None)
    if base is None:
        return settings
    below = _read(path.parent / str(base), (*above, path.resolve()))
    corpora = [*(below.get("corpora") or []), *(settings.get("corpora") or [])]
    return {**below, **settings, "corpora": corpora}


def _turned(corpora: Sequence[Corpus], source: str) -> tuple[Corpus, ...]:
    """The corpora from a language, as corpora into it."""
    return tuple(
        replace(corpus, languages=(corpus.languages[1], source)) for corpus in corpora if corpus.languages[0] == source
    )


def _corpus(entry: Any, where: str) -> Corpus:
    if not isinstance(entry, dict):
        raise MixtureError(f"{where}: expected an entry with name, path, languages and domain, not {entry!r}")
    name = entry.get("name", "?")
    _known(entry, Corpus, f"{where}: {name}")
    for key in ("name", "path", "languages", "domain"):
        if key not in entry:
            raise MixtureError(f"{where}: {name}: {key} is missing")
    languages = entry["languages"]
    if not (isinstance(languages, list) and len(languages) == 2):
        raise MixtureError(f"{where}: {name}: languages needs two, source and target: {languages}")
    try:
        check_languages(languages)
    except UserError as error:
        raise MixtureError(f"{where}: {name}: {error}") from None
    corpus = Corpus(**{**entry, "languages": tuple(languages)})
    for key, allowed in (("kind", ("text", "dictionary")), ("case", ("true", "lower"))):
        if getattr(corpus, key) not in allowed:
            raise MixtureError(f"{where}: {name}: {key} must be {' or '.join(allowed)}, not {getattr(corpus, key)!r}")
    if not corpus.weight >= 0:
        raise MixtureError(f"{where}: {name}: weight must not be negative: {corpus.weight}")
    return corpus


def _known(entry: Mapping[str, Any], cls: type, where: str) -> None:
    known = [item.name for item in fields(cls) if item.name != "origin"]
    for key in entry:
        if key not in known:
            raise MixtureError(f"{where}: unknown key {key!r}; there are {', '.join(known)}")


def _shares(values: Any, key: str, path: Path) -> dict[str, float]:
    if not isinstance(values, dict) or not values:
        raise MixtureError(f"{path}: {key}: expected a share for each, such as {{de: 0.8, fr: 0.2}}")
    if min(values.values()) < 0 or sum(values.values()) <= 0:
        raise MixtureError(f"{path}: {key}: the weights must not be negative and must sum to more than nothing")
    return {str(name): float(value) for name, value in values.items()}


class Store:
    """The pairs of one corpus in the cache, memory-mapped: ``store[i]`` is (source, target).

    Args:
        folder: ``texts.bin``, ``offsets.npy`` and ``meta.json``, as ``write_store`` has written them.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        self.offsets = np.load(folder / "offsets.npy", mmap_mode="r")
        size = (folder / "texts.bin").stat().st_size
        self.texts = np.memmap(folder / "texts.bin", dtype=np.uint8, mode="r") if size else np.zeros(0, np.uint8)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> tuple[str, str]:
        line = self.texts[self.offsets[index] : self.offsets[index + 1]].tobytes().decode("utf-8")
        source, _, target = line.partition("\t")
        return source, target

    @property
    def held_back(self) -> list[tuple[str, str]]:
        """Pairs that are never drawn."""
        lines = (self.folder / "held-back.tsv").read_text(encoding="utf-8").splitlines()
        return [(source, target) for source, _, target in (line.partition("\t") for line in lines)]


def write_store(
    folder: Path, pairs: Iterator[tuple[str, str]], held_back: float, meta: Callable[[], dict[str, Any]]
) -> Store:
    """Write a corpus into the cache, whole or not at all."""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    partial.mkdir(parents=True, exist_ok=True)
    offsets = [0]
    with (
        open(partial / "texts.bin", "wb") as texts,
        open(partial / "held-back.tsv", "w", encoding="utf-8", newline="\n") as held,
    ):
        for source, target in pairs:
            line = f"{source}\t{target}"
            if held_back and is_held_back(source, held_back):
                held.write(line + "\n")
                continue
            offsets.append(offsets[-1] + texts.write(line.encode("utf-8")))
    np.save(partial / "offsets.npy", np.array(offsets, dtype=np.uint64))
    (partial / "meta.json").write_text(json.dumps(meta(), ensure_ascii=False, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return Store(folder)


def prepare(
    mixture: Mixture,
    root: Path,
    cache: Path,
    allow_missing: bool = False,
    rules: Rules | None = None,
    report: Callable[[str], None] | None = None,
) -> dict[Corpus, Store]:
    """Read and clean the corpora that the cache does not hold yet.

    Raises:
        MixtureError: a corpus is missing (unless ``allow_missing``) or nothing is left of it.
    """
    rules = rules or Rules()
    report = report or (lambda line: print(line, file=sys.stderr, flush=True))
    missing = [corpus for corpus in mixture.corpora if not _exists(corpus, root)]
    if missing:
        names = named([f"{corpus.name} ({corpus.path})" for corpus in missing], most=3)
        if not allow_missing:
            raise MixtureError(
                f"{mixture.origin}: {len(missing)} of {len(mixture.corpora)} corpora missing under {root}: {names}; "
                "docs/data.md says where each comes from, and data.allow_missing=true goes on without them"
            )
        report(f"{mixture.origin}: going on without {names}")
    held_out: HeldOut | None = None
    stores: dict[Corpus, Store] = {}
    for number, corpus in enumerate(mixture.corpora, start=1):
        if corpus in missing:
            continue
        folder = cache / f"{corpus.name}-{_fingerprint(corpus, mixture, root, rules)}"
        if (folder / "meta.json").is_file():
            stores[corpus] = Store(folder)
            continue
        if held_out is None:
            held_out = HeldOut.from_files([root / path for path in mixture.held_out])
        own = replace(rules, identify=False) if corpus.kind == "dictionary" else rules  # single words tell no language
        cleaner = Cleaner(own, corpus.languages, held_out)
        stores[corpus] = write_store(
            folder,
            _cleaned(read_corpus(corpus.path, root, corpus.languages, corpus.split, corpus.limit), cleaner),
            mixture.held_back if corpus.kind == "text" else 0.0,
            lambda: {**asdict(corpus), "report": cleaner.report(corpus.name)},  # noqa: B023 - called at once
        )
        report(f"[{number}/{len(mixture.corpora)}] {cleaner.report(corpus.name)}")
        if not len(stores[corpus]):
            raise MixtureError(f"{mixture.origin}: {corpus.name}: no pair is left after cleaning")
    if not stores:
        raise MixtureError(f"{mixture.origin}: no corpus is there")
    return stores


def _exists(corpus: Corpus, root: Path) -> bool:
    return corpus.path in BUILT_IN or next(_files(corpus, root), None) is not None


def _files(corpus: Corpus, root: Path) -> Iterator[Path]:
    """What on the disk a corpus is made of; nothing for a built-in one, which changes with ``CACHE_VERSION`` alone."""
    if corpus.path in BUILT_IN:
        return
    path = root / corpus.path
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(file for file in path.iterdir() if file.is_file())
    elif path.parent.is_dir():
        yield from sorted(path.parent.glob(f"{path.name}.*"))


def _fingerprint(corpus: Corpus, mixture: Mixture, root: Path, rules: Rules) -> str:
    """Short hash of everything that decides what the cache holds of a corpus; its weight does not."""
    found = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in _files(corpus, root)]
    own = {**asdict(corpus), "weight": None, "domain": None, "license": None}
    key = json.dumps([CACHE_VERSION, own, found, repr(rules), mixture.held_out, mixture.held_back], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def _cleaned(pairs: Sequence[TextPair], cleaner: Cleaner) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        cleaned = cleaner(pair.source, pair.target)
        if not isinstance(cleaned, str):
            yield cleaned


class Draws:
    """Pairs drawn from a mixture by weight: what stands at each place is a function of the seed and the place.

    Window ``w`` of ``size`` pairs takes from each corpus the pairs between two places of an endless walk through its
    permutations, so that every pair of a corpus comes up before any comes up again, and shares are exact.

    Args:
        mixture: shares of domains and languages; what is missing leaves its share to the others.
        stores: as of ``prepare``.
        seed: of the permutations.
    """

    def __init__(self, mixture: Mixture, stores: Mapping[Corpus, Store], seed: int):
        self.corpora = list(stores)
        self.stores = [stores[corpus] for corpus in self.corpora]
        self.shares = shares(mixture, {corpus: len(store) for corpus, store in stores.items()})
        self.seed = seed
        self._orders: dict[int, tuple[int, np.ndarray]] = {}

    def window(self, number: int, size: int) -> list[tuple[int, int]]:
        """The pairs of a window as (number of the corpus, number of the pair), corpus by corpus; about ``size``."""
        drawn = []
        for index, share in enumerate(self.shares):
            first, last = int(number * size * share), int((number + 1) * size * share)
            drawn += [(index, self._pair(index, place)) for place in range(first, last)]
        return drawn

    def _pair(self, index: int, place: int) -> int:
        epoch, place = divmod(place, len(self.stores[index]))
        if index not in self._orders or self._orders[index][0] != epoch:
            rng = np.random.default_rng((self.seed, 3, index, epoch))
            self._orders[index] = (epoch, rng.permutation(len(self.stores[index])).astype(np.uint32))
        return int(self._orders[index][1][place])


def shares(mixture: Mixture, sizes: Mapping[Corpus, int]) -> list[float]:
    """Share of the pairs drawn that each corpus has: its language's times its domain's in that language times its own.

    A language's or a domain's share goes to those that are there. Within a domain pairs are drawn alike, each as often
    as its corpus's ``weight`` says.

    Raises:
        MixtureError: the weights of what is there sum to nothing.
    """
    groups: dict[tuple[str, str], float] = {}
    for corpus, size in sizes.items():
        key = (corpus.languages[0], corpus.domain)
        groups[key] = groups.get(key, 0.0) + corpus.weight * size
    full = [key for key, mass in groups.items() if mass > 0]
    languages = {name: mixture.languages[name] for name in dict.fromkeys(language for language, _ in full)}
    total = sum(languages.values())
    found = []
    for corpus, size in sizes.items():
        language, domain = corpus.languages[0], corpus.domain
        there = sum(mixture.domains[name] for own, name in full if own == language)
        if (language, domain) not in full or total <= 0 or there <= 0:
            found.append(0.0)
            continue
        own_share = corpus.weight * size / groups[language, domain]
        found.append(languages[language] / total * mixture.domains[domain] / there * own_share)
    if sum(found) <= 0:
        raise MixtureError(f"{mixture.origin}: the weights of the corpora that are there sum to nothing")
    return found

"""What the documents promise exists: commands, files, links; and what is shipped is whole."""

import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from data_synth import convert
from data_synth.formats import FORMATS, Keyed
from translatotron_v import __version__, cli
from translatotron_v.config import load_config
from translatotron_v.data.mixture import load_mixture

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "weights").rglob("*.md")])
YAML = sorted((ROOT / "configs").rglob("*.yaml"))
RECIPES = [path for path in YAML if path.name == "recipe.yaml"]
MIXTURES = [path for path in YAML if path.stem.startswith("mixture")]
CONFIGS = [path for path in YAML if path not in RECIPES + MIXTURES and path.name != "faces.yaml"]


def commands(document: Path) -> list[str]:
    """The shell commands in a document's fenced blocks, without their comments, continued lines joined."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", document.read_text(encoding="utf-8"), re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [command for line in lines if (command := re.sub(r"\s+#.*|^#.*", "", line).strip())]


def pyproject() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def project_files() -> list[Path]:
    """Every text file under version control; in an unpacked archive, every file outside hidden folders."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode == 0 and listing.stdout:
        return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    skipped = ("out", "runs", "data", "build", "dist")
    paths = (path for path in ROOT.rglob("*") if path.is_file())
    return [
        path
        for path in paths
        if not (parts := path.relative_to(ROOT).parts)[0].startswith(".") and parts[0] not in skipped
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(document: Path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {target for command in commands(document) for target in re.findall(r"^make ([a-z-]+)", command)}
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_scripts_and_configurations_exist(document: Path):
    words = [word for command in commands(document) for word in command.split()]
    files = [
        word for word in words if re.fullmatch(r"(configs|examples|experiments|benchmarks)/[\w./-]+|\w+\.py", word)
    ]
    own = re.findall(r'^ *```\w+ title="([^"]+)"', document.read_text(encoding="utf-8"), re.M)  # that it has you write
    assert [name for name in files if name not in own and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_subcommands_and_their_options_exist(document: Path, capsys: pytest.CaptureFixture[str]):
    for command in commands(document):
        match = re.search(r"translatotron-v (\w+)(.*)", command)
        if match is None or match[1] == "render":
            continue
        with pytest.raises(SystemExit) as caught:
            cli.main([match[1], "--help"])
        assert caught.value.code == 0
        text = capsys.readouterr().out
        assert [option for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", match[2]) if option not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_conversions_name_formats_and_options_that_exist(document: Path):
    for command in commands(document):
        match = re.search(r"data_synth\.convert (.*)", command)
        if match is not None:
            arguments = convert.parser().parse_args(shlex.split(match[1]))
            assert arguments.format in {*FORMATS, "FORMAT"}
            assert isinstance(FORMATS.get(arguments.format), Keyed) <= (len(arguments.inputs) == 2)


def test_every_corpus_of_the_mixture_is_described():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    mixture = yaml.safe_load((ROOT / "configs" / "small" / "mixture.yaml").read_text(encoding="utf-8"))
    paths = [entry["path"] for entry in mixture["corpora"]] + mixture["held_out"]
    names = {re.sub(r"^broad/|\.[a-z]{2}-en\.tsv\.gz$|\.tsv\.gz$", "", path) for path in paths}
    named = {name for name in names if not name.startswith(("iwslt17-xml/", "multi30k/", "signs/"))}
    assert len(named) > 20 and {name for name in named if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_shipped_configuration_parses(path: Path):
    load_config(path)


@pytest.mark.parametrize("path", MIXTURES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_shipped_mixture_parses(path: Path):
    assert len(load_mixture(path).corpora) > 1


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_recipe_names_configurations_of_its_folder(path: Path):
    steps = yaml.safe_load(path.read_text(encoding="utf-8"))["steps"]
    assert [step for step in steps if not (path.parent / f"{step}.yaml").is_file()] == []


def test_no_path_of_any_machine_is_left():
    pattern = re.compile(r"(?<![\w.])/(?:home|root|work|Users|mnt)/\w|\.\./shared|C:\\Users")
    offences = []
    for path in project_files():
        if path == Path(__file__).resolve() or path.suffix in (".png", ".safetensors", ".jpg"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if pattern.search(line):
                offences.append(f"{path.relative_to(ROOT)}:{number}")
    assert offences == []


def test_the_list_of_packages_is_complete():
    listed = set(pyproject()["tool"]["setuptools"]["packages"])
    found = {
        ".".join(folder.relative_to(ROOT).parts)
        for package in ("translatotron_v", "data_synth")
        for folder in [ROOT / package, *(path.parent for path in (ROOT / package).rglob("*.py"))]
    }
    assert listed == found | {f"translatotron_v.{kind}" for kind in ("weights", "examples", "configs")}


def test_setup_cfg_holds_settings_of_tools_alone():
    """What setup.cfg says of the package is not read once pyproject.toml has a project: it must not stand there."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert [name for name in setup.sections() if name == "metadata" or name.startswith("options")] == []
    assert {"tool:pytest", "coverage:run", "mypy"} <= set(setup.sections())


def test_every_python_that_is_promised_is_tested():
    project = pyproject()["project"]
    promised = [line.rsplit(" ", 1)[1] for line in project["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == promised
    assert project["requires-python"] == f">={promised[0]}"


def test_the_workflow_and_the_hooks_run_what_make_runs():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    run = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert run and {command.split()[1] for command in run if command.startswith("make ")} <= targets
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]  # nothing is fetched from elsewhere
    lint = (ROOT / "Makefile").read_text(encoding="utf-8")
    for hook in hooks["repos"][0]["hooks"]:
        tool = hook["entry"].removeprefix(".venv/bin/").removeprefix("python -m ").split()[0]
        assert tool in ("pytest", "python") or tool in lint, hook["id"]


def test_the_citation_is_that_of_the_package_and_of_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__ and citation["license"] == pyproject()["project"]["license"]
    title = re.search(r"^  title\s*= \{(.+)\},$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert title is not None and citation["preferred-citation"]["title"] == re.sub(r"[{}]", "", title[1])


def test_the_navigation_of_the_site_names_what_exists():
    names = re.findall(r"^ +- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    missing = [name for name in names if not (ROOT / "docs" / name).exists() and not (ROOT / name).exists()]
    assert len(names) > 15 and missing == []


def test_weights_are_small_and_safe():
    files = [path for path in project_files() if "weights" in path.relative_to(ROOT).parts]
    assert {path.suffix for path in files} <= {".md", ".json", ".yaml", ".safetensors", ".onnx"}
    weights = [path for path in files if path.suffix == ".safetensors"]
    sizes = {
        name: sum(path.stat().st_size for path in weights if path.parent.name == name) for name in ("tiny", "small")
    }
    assert 0 < sizes["tiny"] <= 20_000_000 and 0 < sizes["small"] <= 42_000_000
    assert sum(sizes.values()) <= 60_000_000
    assert sum(path.stat().st_size for path in files) <= 60 * 2**20  # with graphs and vocabularies

"""What the documents promise exists: commands, files, links; and what is shipped is whole."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from translatotron_v import cli
from translatotron_v.config import load_config

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "weights").rglob("*.md")])
YAML = sorted((ROOT / "configs").rglob("*.yaml"))
RECIPES = [path for path in YAML if path.name == "recipe.yaml"]
CONFIGS = [path for path in YAML if path not in RECIPES and path.name not in ("faces.yaml", "mixture.yaml")]


def commands(document: Path) -> list[str]:
    """The shell commands in a document's fenced blocks, without their comments, continued lines joined."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", document.read_text(encoding="utf-8"), re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [command for line in lines if (command := re.sub(r"\s+#.*|^#.*", "", line).strip())]


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
    assert [name for name in files if not (ROOT / name).exists()] == []


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
def test_links_lead_somewhere(document: Path):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_shipped_configuration_parses(path: Path):
    load_config(path)


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
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = set(setup["options"]["packages"].split())
    found = {
        ".".join(folder.relative_to(ROOT).parts)
        for package in ("translatotron_v", "data_synth")
        for folder in [ROOT / package, *(path.parent for path in (ROOT / package).rglob("*.py"))]
    }
    assert listed == found | {f"translatotron_v.{kind}" for kind in ("weights", "examples", "configs")}


def test_weights_are_small_and_safe():
    files = [path for path in project_files() if "weights" in path.relative_to(ROOT).parts]
    assert {path.suffix for path in files} <= {".md", ".json", ".yaml", ".safetensors"}
    sizes = {name: sum(path.stat().st_size for path in files if path.parent.name == name) for name in ("tiny", "small")}
    assert 0 < sizes["tiny"] <= 20_000_000 and 0 < sizes["small"] <= 40_000_000
    assert sum(path.stat().st_size for path in files) <= 60_000_000

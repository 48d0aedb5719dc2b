"""The README and the pages of docs/ say what the code says: commands, studies, hyperparameters, links, pictures."""

import importlib.util
import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import report.options
import tuning.options
import vae.cli.arguments
import vae.evaluate.arguments
from tests.material.paths import REPOSITORY
from tuning.space.load import list_spaces, load_space
from vae.cli.hyperparameters import page
from vae.config import HYPERPARAMETERS, TrialConfig

README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
MOST_WORDS = 1300
MOST_BYTES = 350_000  # of a picture; an animation may have more

Parse = Callable[[list[str]], object]
PARSERS: dict[str, Parse] = {
    "sweep.py": tuning.options.parse,
    "vae": vae.cli.arguments.parse,
    "vae.evaluate": vae.evaluate.arguments.parse,
    "report": report.options.parse,
}


def blocks(text: str) -> list[str]:
    """The indented lines: commands, and what they print."""
    return [line.strip() for line in re.findall(r"(?m)^    (\S.*)$", text)]


def quoted(text: str) -> list[str]:
    """What stands between backticks, a line broken between two words of it taken as a space."""
    prose = re.sub(r"(?m)^    .*$", "", text)
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose)]


def commands(start: str) -> list[tuple[str, list[str]]]:
    """(page, words after `start`) of every command, in a block or between backticks, without its comment."""
    found = []
    for path in PAGES:
        text = path.read_text()
        for line in [*blocks(text), *quoted(text)]:
            words = shlex.split(line, comments=True) if line.startswith(start) else []
            if words[: len(start.split())] == start.split():
                found.append((path.name, words[len(start.split()) :]))
    return found


def sweeps() -> list[tuple[str, list[str]]]:
    return [(page, words) for page, words in commands("python sweep.py") if words]


def modules() -> list[tuple[str, str, list[str]]]:
    return [(page, words[0], words[1:]) for page, words in commands("python -m")]


def options_in(file: Path) -> set[str]:
    return set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', file.read_text()))


def help_of(parse: Parse, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="0"):
        parse(["--help"])
    return capsys.readouterr().out


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= MOST_WORDS


@pytest.mark.parametrize(("page", "words"), sweeps(), ids=str)
def test_every_sweep_that_the_pages_show_is_accepted(page: str, words: list[str]) -> None:
    """A space that a command names is read with all that the command changes in it."""
    if words == ["--help"]:
        return
    options = tuning.options.parse(words)
    if options.space not in (None, "NAME"):
        load_space(options.space, tuning.options.overrides(options))


@pytest.mark.parametrize(("page", "module", "words"), modules(), ids=str)
def test_every_module_that_the_pages_run_takes_the_options_that_they_show(
    page: str, module: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    (tmp_path / "path/to/images").mkdir(parents=True)  # the README's folder of images
    monkeypatch.chdir(tmp_path)
    if module in PARSERS and words:
        PARSERS[module](words)
    elif module.startswith("benchmarks."):
        origin = Path(found.origin)
        runs = origin.with_name("__main__.py") if found.submodule_search_locations else origin
        assert {word for word in words if word.startswith("--")} <= options_in(runs)


@pytest.mark.parametrize(("page", "words"), commands("make"), ids=str)
def test_every_make_target_that_the_pages_name_is_there(page: str, words: list[str]) -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (REPOSITORY / "Makefile").read_text()))
    assert {word for word in words if "=" not in word} <= targets


def test_the_commands_are_found() -> None:
    """So that the tests above cannot pass by seeing nothing."""
    assert len(sweeps()) > 20
    assert {module for _, module, _ in modules()} >= {*PARSERS} - {"sweep.py"}
    assert {word for _, words in commands("make") for word in words} >= {"sweep", "test", "test-all", "lint", "docs"}


def test_every_option_that_the_prose_names_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", "".join(help_of(parse, capsys) for parse in PARSERS.values())))
    known |= {option for file in (REPOSITORY / "benchmarks").rglob("*.py") for option in options_in(file)}
    named = {(path.name, word.split()[0]) for path in PAGES for word in quoted(path.read_text()) if word[:2] == "--"}
    assert len(named) > 8
    assert {(page, option) for page, option in named if option not in known} == set()


def test_the_readme_lists_every_study_and_no_other() -> None:
    table = README.read_text().partition("## The studies")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"(?m)^\| `(\w+)` \|", table)) == sorted(list_spaces())


def test_the_gallery_shows_every_study() -> None:
    shown = set(re.findall(r"python sweep\.py --space (\w+)", (DOCS / "gallery.md").read_text()))
    assert shown == set(list_spaces())


def test_the_page_of_hyperparameters_is_what_the_module_prints() -> None:
    assert (DOCS / "hyperparameters.md").read_text() == page(), "run: make docs"


def test_the_page_of_hyperparameters_has_a_row_for_each() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.*?) \| (.*?) \| (.*) \|$", page())
    assert [name for name, *_ in rows] == list(HYPERPARAMETERS)
    assert [meaning for *_, meaning in rows] == [TrialConfig.model_fields[name].description for name in HYPERPARAMETERS]
    allowed = {name: (default, values) for name, default, values, _ in rows}
    assert allowed["hidden_layers"] == ("1", "an integer of at least 1 and at most 3")
    assert allowed["learning_rate"] == ("0.001", "a number above 0 and at most 1")
    assert allowed["keep"] == ("best", "one of best, last")


def test_the_rooms_of_the_architecture_are_those_of_the_code() -> None:
    """Each with its number of files."""
    files = [path for name in ("vae", "tuning", "report") for path in (REPOSITORY / name).rglob("*.py")]
    rooms = Counter(f"{file.parent.relative_to(REPOSITORY)}/" for file in files if file.name != "__init__.py")
    rows = re.findall(r"(?m)^\| `([a-z/]+/)` \| (\d+) \|", (DOCS / "architecture.md").read_text())
    assert {room: int(number) for room, number in rows} == dict(rooms)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_file_that_a_page_names_by_its_path_is_there(path: Path) -> None:
    named = [word for word in quoted(path.read_text()) if re.fullmatch(r"[\w./-]+/[\w-]+\.(py|yaml|json|md)", word)]
    assert [word for word in named if not (REPOSITORY / word).is_file()] == []


def anchors(path: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"(?m)^#+ (.*)$", path.read_text())
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        file, _, anchor = target.partition("#")
        found = path.parent / file if file else path
        assert found.is_file(), target
        assert not anchor or anchor in anchors(found), target


def test_the_readme_links_every_page() -> None:
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", README.read_text()))
    assert linked == {path.name for path in DOCS.glob("*.md")}


def pictures() -> list[tuple[Path, str]]:
    """(file, alternative text) of every picture of every page."""
    return [
        (path.parent / target, text)
        for path in PAGES
        for text, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", path.read_text())
    ]


def test_every_picture_says_in_words_what_it_shows() -> None:
    assert len(pictures()) > 15
    assert [file.name for file, text in pictures() if len(text.split()) < 5] == []


def test_every_picture_is_shown_and_small() -> None:
    files = [path for path in DOCS.rglob("*") if path.suffix in (".jpg", ".png", ".gif")]
    assert {file.resolve() for file, _ in pictures()} == set(files)
    assert [path.name for path in files if path.suffix != ".gif" and path.stat().st_size > MOST_BYTES] == []

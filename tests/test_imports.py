"""Who may import whom: the arrows of the design, read from every file with ast."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.material.paths import REPOSITORY

PACKAGES = ("vae", "tuning", "report")
OURS = (*PACKAGES, "sweep", "benchmarks")
HEAVY = ("numpy", "torch", "ray", "optuna", "pandas", "pyarrow", "tensorboard", "matplotlib")  # seconds to load
FOREIGN_TO_VAE = ("ray", "optuna", "yaml", "tensorboard")
# The rooms of each package from the ground up: a room imports its own files and those of the rooms before it.
FLOORS = {
    "vae": (
        *("config", "errors", "files", "randomness", "backend", "datasets"),
        *("cli", "model", "storage", "evaluate", "training", "train", "__main__"),
    ),
    "tuning": (
        *("layout", "errors", "records", "luck", "confirmed", "space", "store", "view"),
        *("cluster", "workers", "search", "plan", "sweep", "options", "at_hand"),
    ),
    "report": (
        *("labels", "models", "numbers", "drawing", "output", "page"),
        *("live", "drawn", "build", "options", "__main__"),
    ),
}
MOST_FILES = 10  # of a room, __init__.py aside; about nine is the rule


class Import(NamedTuple):
    """`from module import name` at a line; name is "" for `import module`."""

    file: str
    line: int
    module: str
    name: str

    @property
    def target(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def files_of(*packages: str) -> list[Path]:
    return [file for package in packages for file in sorted((REPOSITORY / package).rglob("*.py"))]


def all_files() -> list[Path]:
    return [*files_of(*PACKAGES, "benchmarks"), REPOSITORY / "sweep.py"]


def imports_in(tree: ast.AST, file: str) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (Import(file, node.lineno, module, alias.name) for alias in node.names)


def imports_of(*files: Path) -> list[Import]:
    return [
        found for file in files for found in imports_in(ast.parse(file.read_text()), str(file.relative_to(REPOSITORY)))
    ]


def is_within(target: str, *allowed: str) -> bool:
    return any(target == name or target.startswith(f"{name}.") for name in allowed)


def package_of(found: Import) -> str:
    return found.module.partition(".")[0]


def strays(files: list[Path], allowed: tuple[str, ...]) -> list[Import]:
    """Imports of our own modules other than the allowed ones."""
    return [
        found for found in imports_of(*files) if package_of(found) in OURS and not is_within(found.target, *allowed)
    ]


def test_the_reader_of_imports_sees_every_form_of_them() -> None:
    """Of its own, so that the tests below cannot pass by seeing nothing."""
    text = "import a.b\nfrom c import d, e as f\nfrom . import g\ndef h():\n    if True:\n        import i.j as k\n"
    found = [(each.module, each.name, each.line) for each in imports_in(ast.parse(text), "")]
    assert found == [("a.b", "", 1), ("c", "d", 2), ("c", "e", 2), (".", "g", 3), ("i.j", "", 6)]
    assert len(files_of("vae")) > 10
    assert any(each.target == "vae.config.TrialConfig" for each in imports_of(*files_of("vae")))


def test_vae_imports_none_of_the_others() -> None:
    assert strays(files_of("vae"), ("vae",)) == []


def test_vae_imports_no_ray_optuna_yaml_or_tensorboard() -> None:
    assert [found for found in imports_of(*files_of("vae")) if is_within(found.target, *FOREIGN_TO_VAE)] == []


def test_report_imports_vae_the_records_and_how_these_compare() -> None:
    known = ("tuning.records", "tuning.confirmed", "tuning.luck")
    assert strays(files_of("report"), ("report", "vae", *known)) == []


def test_tuning_imports_vae_and_not_the_report() -> None:
    assert strays(files_of("tuning"), ("tuning", "vae")) == []


def test_sweep_imports_tuning_and_report_and_the_errors_it_prints() -> None:
    assert strays([REPOSITORY / "sweep.py"], ("tuning", "report", "vae.errors")) == []
    assert {"tuning", "report"} <= {package_of(found) for found in imports_of(REPOSITORY / "sweep.py")}


@pytest.mark.parametrize(
    "command",
    [
        "import sweep; sweep.main(['--list-spaces'])",
        "import sweep; sweep.main(['--space', 'nope'])",
        "import sweep; sweep.main(['--trials', 'many'])",
        "from vae.__main__ import main; main(['--wrong'])",
    ],
)
def test_what_is_told_of_a_command_line_and_of_spaces_waits_for_no_heavy_library(command: str) -> None:
    code = f"{command}; import sys; print(sorted({set(HEAVY)!r} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1] == "[]", ended.stderr


def test_sweep_reads_as_a_story_of_under_150_lines() -> None:
    assert len((REPOSITORY / "sweep.py").read_text().splitlines()) < 150


def test_every_import_is_absolute() -> None:
    assert [found for found in imports_of(*all_files()) if found.module.startswith(".")] == []


def modules() -> dict[str, Path]:
    """Our modules by dotted name."""
    return {
        ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): file
        for file in all_files()
    }


def imported_modules(file: Path) -> set[str]:
    """`from vae.model import objective` is of that module, as is `from vae.model.objective import rate`."""
    known = modules()
    return {found.target if found.target in known else found.module for found in imports_of(file)} & known.keys()


def test_no_import_inside_a_function_dodges_a_cycle() -> None:
    """With every import counted, wherever it stands, the modules still have an order. (CycleError is a ValueError.)"""
    graph = {name: imported_modules(file) - {name} for name, file in modules().items()}
    assert {"vae.training.stack", "vae.training.prefetch"} <= graph["vae.training.pack"]
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("vae.config") < order.index("vae.training.pack") < order.index("vae.training.trial")


def room_of(module: str) -> str:
    """'model' of vae.model.network, 'config' of vae.config."""
    return module.split(".")[1]


def climbs(file: Path) -> list[str]:
    """Imports of a room that stands above the file's own."""
    package, *inside = file.relative_to(REPOSITORY).with_suffix("").parts
    floor = FLOORS[package].index
    targets = sorted(name for name in imported_modules(file) if name.startswith(f"{package}."))
    return [f"{file.name} imports {name}" for name in targets if floor(room_of(name)) > floor(inside[0])]


def test_the_reader_of_floors_sees_an_arrow_that_runs_back_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = REPOSITORY / "vae" / "model" / "network.py"
    monkeypatch.setattr(
        Path, "read_text", lambda _: "from vae.training.pack import Pack\nfrom vae.config import Mode\n"
    )
    assert climbs(wrong) == ["network.py imports vae.training.pack"]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_arrow_runs_back_up_between_the_rooms_of_a_package(package: str) -> None:
    files = [file for file in files_of(package) if file.name != "__init__.py"]
    assert [climb for file in files for climb in climbs(file)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_has_a_floor_and_about_nine_files_at_the_most(package: str) -> None:
    files = [file.relative_to(REPOSITORY / package) for file in files_of(package) if file.name != "__init__.py"]
    assert {file.with_suffix("").parts[0] for file in files} == set(FLOORS[package])
    crowded = {str(room): n for room, n in Counter(file.parent for file in files).items() if n > MOST_FILES}
    assert crowded == {}


def test_the_numbers_of_a_report_draw_nothing() -> None:
    files = files_of("report/numbers", "report/models")
    assert len(files) > 10
    assert [found for found in imports_of(*files) if is_within(found.target, "matplotlib", "rich")] == []


def test_the_search_space_knows_neither_ray_nor_optuna() -> None:
    files = files_of("tuning/space")
    assert len(files) > 5
    assert [found for found in imports_of(*files) if is_within(found.target, "ray", "optuna", "torch")] == []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_reaches(tree: ast.Module, file: str) -> list[str]:
    """`from our.module import _name`, and `module._name` of one of our modules."""
    ours = [found for found in imports_in(tree, file) if package_of(found) in OURS]
    names = {alias for node in ast.walk(tree) for alias in bound_modules(node)}
    reached = [f"{file}:{found.line} {found.target}" for found in ours if is_private(found.name)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) in names:
            reached.append(f"{file}:{node.lineno} {ast.unparse(node)}")
    return reached


def bound_modules(node: ast.AST) -> list[str]:
    """The names by which an import statement binds modules, or what is in them, of ours."""
    if isinstance(node, ast.Import):
        return [alias.asname or alias.name for alias in node.names if alias.name.partition(".")[0] in OURS]
    if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OURS:
        return [alias.asname or alias.name for alias in node.names]
    return []


def test_the_reader_of_private_names_sees_every_form_of_them() -> None:
    text = (
        "from vae import data\nfrom vae.data import _check, load\nimport vae.pack as p\ndata._x; p._y; data.z; ray._w\n"
    )
    assert private_reaches(ast.parse(text), "f") == ["f:2 vae.data._check", "f:4 data._x", "f:4 p._y"]


@pytest.mark.parametrize("file", all_files(), ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_no_module_reaches_into_anothers_private_names(file: Path) -> None:
    assert private_reaches(ast.parse(file.read_text()), file.name) == []


@pytest.mark.parametrize(
    "module", ["vae.config", "vae.errors", "vae.model.metrics", "vae.datasets.registry", "tuning.records"]
)
def test_what_the_driver_reads_first_does_not_wait_for_torch(module: str) -> None:
    """torch takes seconds to import; `sweep.py --list-spaces` needs none of it."""
    check = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=REPOSITORY, check=False).returncode == 0

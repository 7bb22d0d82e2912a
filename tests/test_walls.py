"""The wall between the packages: who may import whom, read from the source of every file."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path.relative_to(ROOT)
    for path in (
        *ROOT.glob("*.py"),
        *(file for room in ("app", "ppo", "biped", "configs") for file in ROOT.glob(f"{room}/**/*.py")),
    )
)
OTHERS = sorted(path.relative_to(ROOT) for folder in ("tests", "benchmarks") for path in ROOT.glob(f"{folder}/**/*.py"))
LONGEST_FILE = 350
"""Lines."""
MOST_PARAMETERS = 6
CONSTRUCTION = {"__init__", "__call__", "simulator", "make_state", "build_trainer"}
"""What makes an object of its arguments, and may take more of them; `__call__` is that of `MakeSimulator`."""
ENGINE_FILES = {
    "genesis": Path("biped/simulators/genesis.py"),
    "mujoco": Path("biped/simulators/mujoco.py"),
    "mjbatch": Path("biped/simulators/mujoco.py"),
}


def imports(source: str, path: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in it, relative imports and `import_module` included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.parts[: -node.level] if node.level else ()
            module = (*package, *([node.module] if node.module else []))
            yield from (".".join((*module, alias.name)) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            assert isinstance(node.args[0], ast.Constant), f"{path}: import of a module whose name is computed"
            yield str(node.args[0].value)


def imported_by(path: Path) -> set[str]:
    return set(imports((ROOT / path).read_text(encoding="utf-8"), path))


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def room(name: str) -> list[Path]:
    return [path for path in SOURCES if path.parts[0] == name]


def test_the_rooms_are_not_empty() -> None:
    assert Path("ppo/update.py") in SOURCES
    assert Path("biped/simulators/state.py") in SOURCES


@pytest.mark.parametrize("path", room("ppo"), ids=str)
def test_ppo_knows_neither_robot_nor_simulator_nor_configuration(path: Path) -> None:
    forbidden = ("app", "biped", "configs", "train", "play", *ENGINE_FILES)
    assert [name for name in sorted(imported_by(path)) if any(within(name, package) for package in forbidden)] == []


def test_what_biped_shares_with_ppo_leads_no_further() -> None:
    for path in (Path("ppo/env.py"), Path("ppo/value_ranges.py")):
        assert [name for name in imported_by(path) if within(name, "ppo")] == []


@pytest.mark.parametrize("path", room("biped"), ids=str)
def test_biped_knows_only_the_contract_of_ppo(path: Path) -> None:
    modules = sorted(imported_by(path))
    shared = ("ppo.env", "ppo.value_ranges")
    assert [name for name in modules if within(name, "ppo") and not any(within(name, one) for one in shared)] == []
    above = ("app", "configs", "train", "play")
    assert [name for name in modules if any(within(name, package) for package in above)] == []


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_engines_are_imported_in_one_file_each(path: Path) -> None:
    for engine, allowed in ENGINE_FILES.items():
        assert path == allowed or not any(within(name, engine) for name in imported_by(path))


@pytest.mark.parametrize("path", room("configs"), ids=str)
def test_presets_know_of_the_programs_only_the_schema(path: Path) -> None:
    modules = sorted(imported_by(path))
    assert [name for name in modules if within(name, "app") and not within(name, "app.experiment")] == []


def test_no_circle_of_imports() -> None:
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}

    def target(name: str) -> str:
        """The module that an imported name lies in: itself, or what it is a name of."""
        return name if name in modules else name.rpartition(".")[0]

    graph = {module: {target(name) for name in imported_by(path)} & modules.keys() for module, path in modules.items()}
    TopologicalSorter({module: known - {module} for module, known in graph.items()}).prepare()


@pytest.mark.parametrize("path", [*SOURCES, *OTHERS], ids=str)
def test_a_file_is_one_idea(path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8").count("\n") <= LONGEST_FILE


def parameters(function: ast.FunctionDef) -> int:
    """How many a caller gives, `self` or `cls` not among them."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_functions_take_few_arguments(path: Path) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    many = {function.name for function in functions if parameters(function) > MOST_PARAMETERS}
    assert many <= CONSTRUCTION


def test_the_reader_of_imports_sees_every_kind() -> None:
    source = """
import ppo.update, numpy as np
from ppo import policy
def late():
    from .rollout import Rollout
    from .. import configs
    importlib.import_module("genesis.engine")
"""
    assert set(imports(source, Path("ppo/deep/file.py"))) == {
        "ppo.update",
        "numpy",
        "ppo.policy",
        "ppo.deep.rollout.Rollout",
        "ppo.configs",
        "genesis.engine",
    }

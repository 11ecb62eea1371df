"""The arrows of docs/design.md, read from the imports. Needs nothing but pytest: it also runs in `make check`."""

import ast
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
RUN_TIME = sorted((SRC / "registry").rglob("*.py"))
CORE = [path for path in RUN_TIME if path.parent == SRC / "registry" or "_registry_rows" in path.parts]
ROOMS = [path for path in RUN_TIME if path not in CORE]
BUILD_TIME = sorted((SRC / "registry_build").rglob("*.py"))
GENERATED = [path for path in RUN_TIME if path.name.startswith("_registry") or "_registry_rows" in path.parts]

# Left may import right: which modules of the package each one may name.
MAY_IMPORT = {
    "__init__": {"_registry", "config", "errors", "queries", "records"},
    "__main__": {"cli"},
    "config": {"_registry", "errors", "records"},
    "_lookup": {"_frozen", "errors", "queries"},
    "queries": {"_frozen", "errors", "records"},
    "records": {"_frozen"},
    "_frozen": set(),
    "_extras": {"errors"},
    "_home": set(),
    "_logfmt": set(),
    "_settings": {"_home", "errors"},
    "_places": {"_home", "_settings", "errors", "records"},
    "errors": set(),
}
# The same for the modules of a room: what each may name outside its own.
ROOM_MAY_IMPORT = {
    "chat": {"_extras", "errors", "records"},
    "hardware": {"_extras", "_home", "_places", "_registry", "_settings", "errors", "queries", "records"},
    "hub": {"_extras", "_home", "_places", "_registry", "_settings", "errors", "queries", "records"},
    "loaders": {
        "_extras",
        "_home",
        "_places",
        "_settings",
        "chat",
        "config",
        "errors",
        "hardware",
        "hub",
        "queries",
        "records",
    },
    "profiles": {
        "_extras",
        "_frozen",
        "_home",
        "_logfmt",
        "_places",
        "_registry",
        "_settings",
        "chat",
        "errors",
        "hardware",
        "hub",
        "loaders",
        "queries",
        "records",
    },
    "adapters": {
        "_extras",
        "_home",
        "_logfmt",
        "_places",
        "_settings",
        "errors",
        "hub",
        "hardware",
        "loaders",
        "queries",
        "records",
    },
    "configs": {"_frozen", "_places", "_settings", "chat", "errors", "hardware", "profiles", "queries", "records"},
    "catalog": {"_home", "_registry", "errors", "queries", "records"},
    "server": {
        "_extras",
        "_home",
        "_places",
        "_registry",
        "_settings",
        "adapters",
        "catalog",
        "chat",
        "errors",
        "hardware",
        "hub",
        "loaders",
        "profiles",
        "queries",
        "records",
    },
    "cluster": {
        "_extras",
        "_home",
        "_places",
        "_registry",
        "_settings",
        "adapters",
        "catalog",
        "errors",
        "hardware",
        "hub",
        "loaders",
        "profiles",
        "queries",
        "records",
        "server",
    },
    "cli": {
        "_extras",
        "_home",
        "_places",
        "_registry",
        "_settings",
        "adapters",
        "catalog",
        "cluster",
        "configs",
        "chat",
        "config",
        "errors",
        "hardware",
        "hub",
        "loaders",
        "profiles",
        "queries",
        "records",
        "server",
    },
}
# The packages that every module of a room may name.
ROOM_WIDE_PACKAGES = {
    "cli": {"rich", "typer"},
    "cluster": {"ray", "starlette"},
    "server": {"fastapi", "pydantic", "starlette"},
}
# Room and module -> the other packages that it names.
ROOM_PACKAGES = {
    "cli/_vector_files": {"numpy", "pyarrow"},
    "cli/building": {"registry_build"},
    "chat/_sandbox": {"jinja2"},
    "cluster/application": {"fastapi"},
    "cluster/remote": {"grpc"},
    "cluster/serving": {"fastapi"},
    "hardware/_diagnose": {"psutil"},
    "hardware/_probe": {"psutil"},
    "hardware/gpu": {"pynvml"},
    "hub/progress": {"rich"},
    "loaders/dense": {"numpy"},
    "loaders/embeddings": {"numpy", "scipy"},
    "loaders/late_interaction": {"numpy", "sentence_transformers", "torch"},
    "loaders/llama": {"numpy"},
    "loaders/maxsim": {"numpy"},
    "loaders/peak_memory": {"psutil"},
    "loaders/reranker": {"numpy"},
    "loaders/sparse": {"numpy", "scipy"},
    "loaders/transformer": {"huggingface_hub", "torch", "tqdm", "transformers"},
    "profiles/embedder": {"numpy"},
    "profiles/providers/local": {"numpy"},
    "profiles/providers/ollama": {"numpy"},
    "profiles/providers/ollama_client": {"httpcore", "httpx", "ollama"},
    "profiles/providers/openai": {"numpy"},
    "profiles/providers/openai_client": {"httpcore2", "httpx2", "openai"},
    "profiles/protocol": {"numpy"},
    "profiles/checkpoints/provider": {"numpy"},
    "profiles/providers/vectors": {"numpy"},
    "server/web/rendering": {"jinja2"},
    "server/protocol": {"uvicorn"},
    "server/serving": {"uvicorn"},
    "server/telemetry": {"prometheus_client"},
    "server/v1/embeddings": {"numpy", "pydantic_core"},
    "server/v1/requests": {"pydantic_core"},
}
BUILD_MAY_IMPORT = {
    "__init__": {"emit", "plan", "problems", "schema", "source", "validate"},
    "__main__": {"naming", "output", "pages", "plan", "problems"},
    "plugin": {"naming", "output", "problems"},
    "pages": {"emit", "plan", "problems"},
    "emit": {"plan", "rows", "vocabulary"},
    "plan": {"naming", "rows", "source", "vocabulary"},
    "rows": {"vocabulary"},
    "validate": {"naming", "problems", "rows", "schema", "source", "vocabulary"},
    "schema": {"problems"},
    "source": {"problems"},
    "output": {"problems"},
    "vocabulary": {"problems"},
    "naming": set(),
    "problems": set(),
}
ONLY_IN = {
    "jsonschema_rs": {"schema"},
    "jinja2": {"emit"},
    "hatchling": {"plugin"},
    "langcodes": {"validate"},
    "packaging": {"validate"},
}


def _imports(path: Path, *, types: bool = True) -> set[str]:
    """Give the full names of what a file imports, inside functions and, with `types`, under TYPE_CHECKING too."""
    package = path.relative_to(SRC).parent.parts
    found = set()
    tree = ast.parse(path.read_text("utf-8"))
    if not types:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node))]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join((*package[: len(package) - node.level + 1], node.module or "")) if node.level else node.module
            )
            modules = {
                f"{base}.{alias.name}"
                for alias in node.names
                if (SRC / base.replace(".", "/") / f"{alias.name}.py").exists()
            }
            found |= modules or {base}
    return found


def _top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def _within(path: Path, package: str) -> set[str]:
    """Give the modules of `package` that a file imports, without the package's name."""
    return {name.removeprefix(f"{package}.") for name in _imports(path) if name.startswith(f"{package}.")}


def _name(path: Path) -> str:
    return path.relative_to(SRC / "registry").with_suffix("").as_posix()


def _room(path: Path) -> str:
    return path.relative_to(SRC / "registry").parts[0]


@pytest.mark.parametrize("path", [*CORE, *(path for path in ROOMS if _room(path) == "catalog")], ids=_name)
def test_core_and_catalog_import_the_standard_library_and_themselves_only(path: Path) -> None:
    assert _top(_imports(path)) - sys.stdlib_module_names <= {"registry"}


@pytest.mark.parametrize("path", BUILD_TIME, ids=lambda path: path.stem)
def test_build_time_never_imports_run_time(path: Path) -> None:
    assert "registry" not in _top(_imports(path))


@pytest.mark.parametrize("path", [path for path in CORE if path not in GENERATED], ids=lambda path: path.stem)
def test_module_imports_along_the_arrows_only(path: Path) -> None:
    assert _within(path, "registry") - MAY_IMPORT[path.stem] == set()


@pytest.mark.parametrize("path", ROOMS, ids=_name)
def test_room_imports_along_the_arrows_only(path: Path) -> None:
    room = _room(path)
    named = {name.partition(".")[0] for name in _within(path, "registry")}

    assert named - {room} - ROOM_MAY_IMPORT[room] == set()


@pytest.mark.parametrize("path", [path for path in ROOMS if path.parent.parent.name == "server"], ids=_name)
def test_rooms_of_the_server_do_not_know_one_another(path: Path) -> None:
    others = {"admin", "rest", "v1", "web"} - {path.parent.name}

    assert {name.split(".")[1] for name in _within(path, "registry") if name.startswith("server.")} & others == set()


@pytest.mark.parametrize("path", ROOMS, ids=_name)
def test_third_party_packages_of_a_room_are_imported_by_their_own_modules_only(path: Path) -> None:
    third_party = _top(_imports(path)) - sys.stdlib_module_names - {"registry"}

    assert third_party - ROOM_WIDE_PACKAGES.get(_room(path), set()) == ROOM_PACKAGES.get(_name(path), set())


@pytest.mark.parametrize("room", ROOM_MAY_IMPORT)
def test_modules_of_a_room_import_each_other_without_a_circle(room: str) -> None:
    modules = {f"registry.{_name(path).replace('/', '.')}": path for path in ROOMS if _room(path) == room}
    left = {name: _imports(path, types=False) & modules.keys() for name, path in modules.items()}
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]

    assert left == {}


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_generated_module_imports_lookup_and_records_only(path: Path) -> None:
    assert _imports(path) <= {"registry._lookup", "registry.records"}


@pytest.mark.parametrize("package", ONLY_IN)
def test_third_party_package_is_imported_by_its_own_module_only(package: str) -> None:
    assert {path.stem for path in BUILD_TIME if package in _top(_imports(path))} == ONLY_IN[package]


def test_build_time_imports_no_other_third_party_package() -> None:
    imported = {name for path in BUILD_TIME for name in _top(_imports(path))}

    assert imported - sys.stdlib_module_names == {"registry_build", *ONLY_IN}


@pytest.mark.parametrize("path", BUILD_TIME, ids=lambda path: path.stem)
def test_build_time_module_imports_along_the_arrows_only(path: Path) -> None:
    modules = {other.stem for other in BUILD_TIME}

    assert (_within(path, "registry_build") & modules) - BUILD_MAY_IMPORT[path.stem] == set()


def test_build_time_modules_import_each_other_without_a_circle() -> None:
    left = {path.stem: _within(path, "registry_build") & {p.stem for p in BUILD_TIME} for path in BUILD_TIME}
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]

    assert left == {}


@pytest.mark.parametrize("path", [*RUN_TIME, *BUILD_TIME], ids=lambda path: path.stem)
def test_module_is_not_a_drawer_for_leftovers(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "misc", "tools"}

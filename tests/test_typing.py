"""What type checkers and editors see of the installed package."""

import contextlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
BIN = Path(sys.executable).parent

USER = """
from typing import assert_type

from registry import ALL_MINILM_L6_V2, COLBERT_V2, SPLADE_V3, ChatModel, DenseModel, EmbeddingModel, LoraAdapter
from registry import ModelConfig, ModelId, ModelInfo, ModelType, MultiVectorModel, SparseModel
from registry import MODEL_REGISTRY, ModelRegistry, combine, find_model, find_models, get_default_model, get_model
from registry import lookup_model, models_by_max_embedding_dim, models_by_type, models_with_matryoshka
from registry import DEFAULT_PROFILE, Profile, ProfileName, Role, RoleModel, get_profile, list_profiles

assert_type(COLBERT_V2, MultiVectorModel)
assert_type(ALL_MINILM_L6_V2, DenseModel)
assert_type(SPLADE_V3, SparseModel)
assert_type(COLBERT_V2.embedding_dim, int)
assert_type(COLBERT_V2.context_length, int | None)
assert_type(get_model("colbert-v2"), MultiVectorModel)
assert_type(get_model("colbert-small"), MultiVectorModel)
assert_type(get_model("all-minilm-l6-v2"), DenseModel)
assert_type(get_model("splade-v3"), SparseModel)
assert_type(get_model("qwen2.5-coder-7b-q5"), ChatModel)
assert_type(get_default_model(), ChatModel)
assert_type(get_default_model().adapters, tuple[LoraAdapter, ...])
assert_type(lookup_model(input()), ModelInfo)
assert_type(find_model(input()), ModelInfo | None)
assert_type(models_by_type(ModelType.COLBERT), tuple[MultiVectorModel, ...])
assert_type(models_by_type("dense"), tuple[DenseModel, ...])
assert_type(models_by_type(ModelType.SPARSE), tuple[SparseModel, ...])
assert_type(models_by_type("chat"), tuple[ChatModel, ...])
assert_type(models_by_type(input()), tuple[ModelInfo, ...])
assert_type(find_models(type=ModelType.CHAT, language="en"), tuple[ChatModel, ...])
assert_type(find_models(type="colbert", max_embedding_dim=128), tuple[MultiVectorModel, ...])
assert_type(find_models(max_embedding_dim=128), tuple[EmbeddingModel, ...])
assert_type(find_models(language="en"), tuple[ModelInfo, ...])
assert_type(models_with_matryoshka(), tuple[EmbeddingModel, ...])
assert_type(models_by_max_embedding_dim(128), tuple[EmbeddingModel, ...])
assert_type(MODEL_REGISTRY["colbert-v2"], ModelInfo)
assert_type(combine(MODEL_REGISTRY), ModelRegistry[ModelInfo])
assert_type(ModelConfig.colbert_v2().embedding_dim, int)
assert_type(DEFAULT_PROFILE, Profile)
assert_type(DEFAULT_PROFILE.models[Role.CODING], RoleModel)
assert_type(DEFAULT_PROFILE.models["coding"].fallback, tuple[str, ...])
assert_type(get_profile("default"), Profile)
assert_type(list_profiles(), tuple[Profile, ...])
assert_type(MODEL_REGISTRY.get_profile(input()), Profile)
assert_type(MODEL_REGISTRY.default_profile, Profile | None)
assert_type(combine(MODEL_REGISTRY).profiles["default"], Profile)


def choose(model_id: ModelId) -> ModelInfo:
    return get_model(model_id)


def pick(name: ProfileName) -> Profile:
    return get_profile(name)


def encode(model: EmbeddingModel) -> int:
    return model.embedding_dim


encode(COLBERT_V2)
encode(get_model("all-minilm-l6-v2"))
models: list[EmbeddingModel] = [COLBERT_V2, ALL_MINILM_L6_V2, SPLADE_V3]
"""

WRONG = {
    "unknown id": ('get_model("colbert-v3")', "call-overload", "reportCallIssue|reportArgumentType"),
    "field of a record": ("COLBERT_V2.embedding_dim = 64", "misc", "reportAttributeAccessIssue"),
    "unknown constant": ("registry.COLBERT_V99", "attr-defined", "reportAttributeAccessIssue"),
    "unknown condition": ('find_models(colour="red")', "call-overload", "reportCallIssue"),
    "unknown field": ("COLBERT_V2.embeding_dim", "attr-defined", "reportAttributeAccessIssue"),
    "field of another class": (
        'get_model("qwen2.5-coder-7b-q5").embedding_dim',
        "attr-defined",
        "reportAttributeAccessIssue",
    ),
    "embedding model of another class": ("vector_of(COLBERT_V2)", "arg-type", "reportArgumentType"),
    "id known at run time": ("get_model(input())", "call-overload", "reportCallIssue|reportArgumentType"),
    "unknown profile": ('get_profile("laptop")', "arg-type", "reportArgumentType"),
    "unknown role": ("registry.Role.CODNG", "attr-defined", "reportAttributeAccessIssue"),
    "models of a profile": ('get_profile("default").models["a"] = 1', "index", "reportIndexIssue"),
}
WRONG_FILE = (
    "import registry; from registry import COLBERT_V2, DenseModel, find_models, get_model, get_profile\n"
    "def vector_of(model: DenseModel) -> None: ...\n"
) + "".join(f"{statement}\n" for statement, _, _ in WRONG.values())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    (folder / "good.py").write_text(USER)
    (folder / "wrong.py").write_text(WRONG_FILE)
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    return folder


@pytest.fixture(scope="module")
def mypy(project: Path, installed: Path) -> dict[str, list[str]]:
    """Give the errors of mypy --strict: file -> lines."""
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed), "good.py", "wrong.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    return {name: [line for line in lines if line.startswith(name)] for name in ("good.py", "wrong.py")} | {
        "all": lines
    }


@pytest.fixture(scope="module")
def pyright(project: Path, installed: Path) -> dict[str, list[str]]:
    """Give the errors of basedpyright: file -> `line:rule`."""
    command = [str(BIN / "basedpyright"), "--outputjson", "--pythonpath", str(installed), "good.py", "wrong.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    found = [problem for problem in json.loads(done.stdout)["generalDiagnostics"] if problem["severity"] == "error"]
    told: dict[str, list[str]] = {"good.py": [], "wrong.py": []}
    for problem in found:
        line = problem["range"]["start"]["line"] + 1
        told[Path(problem["file"]).name].append(f"{line}:{problem['rule']}: {problem['message']}")
    return told


def test_mypy_sees_the_exact_types(mypy: dict[str, list[str]]) -> None:
    assert mypy["good.py"] == []
    assert mypy["all"] == mypy["wrong.py"]


def test_pyright_sees_the_exact_types(pyright: dict[str, list[str]]) -> None:
    assert pyright["good.py"] == []


@pytest.mark.parametrize("what", WRONG)
def test_mypy_refuses_what_is_wrong(what: str, mypy: dict[str, list[str]]) -> None:
    line = list(WRONG).index(what) + 3
    codes = [
        error.rpartition("[")[2].rstrip("]") for error in mypy["wrong.py"] if error.startswith(f"wrong.py:{line}:")
    ]

    assert codes == [WRONG[what][1]]


@pytest.mark.parametrize("what", WRONG)
def test_pyright_refuses_what_is_wrong(what: str, pyright: dict[str, list[str]]) -> None:
    line = list(WRONG).index(what) + 3
    rules = [error.split(":")[1] for error in pyright["wrong.py"] if error.startswith(f"{line}:")]

    assert rules
    assert all(re.fullmatch(WRONG[what][2], rule) for rule in rules)


# The stub itself, and the files as their checkers see them

SHAPES = [
    "design_example",
    "embedding_classes",
    "every_field_embedding",
    "every_field_chat",
    "reranker_only",
    "new_type",
    "hostile_strings",
    "named_profiles",
]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every generated stub of the golden cases and the shipped one, without the line that silences mypy."""
    folder = tmp_path_factory.mktemp("stubs")
    files = {name: ROOT / "tests" / "build" / "cases" / name / "expected" / "_registry.pyi" for name in SHAPES}
    for name, file in (files | {"shipped": SRC / "registry" / "_registry.pyi"}).items():
        text = file.read_text("utf-8")
        assert text.count("# mypy: ignore-errors\n") == 1
        (folder / name).mkdir()
        (folder / name / f"stub_{name}.pyi").write_text(text.replace("# mypy: ignore-errors\n", ""), "utf-8")
    return folder


def test_stub_without_its_silence_passes_mypy_strict(stubs: Path, installed: Path) -> None:
    files = sorted(map(str, stubs.rglob("*.pyi")))
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed), *files]

    done = subprocess.run(command, cwd=stubs, capture_output=True, text=True, check=False)

    assert done.stdout == f"Success: no issues found in {len(files)} source files\n"


def test_stub_passes_pyright(stubs: Path, installed: Path) -> None:
    (stubs / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    command = [str(BIN / "basedpyright"), "--outputjson", "--pythonpath", str(installed)]

    done = subprocess.run(command, cwd=stubs, capture_output=True, text=True, check=False)

    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(SHAPES) + 1
    assert [found["message"] for found in report["generalDiagnostics"] if found["severity"] == "error"] == []


def test_stub_agrees_with_the_module_at_run_time(installed: Path, tmp_path: Path) -> None:
    listed = tmp_path / "allowed.txt"
    # Functions are bound methods at run time, ModelId is one Literal there; underscored names are nobody's business.
    listed.write_text(
        "registry\\._registry\\.(get_|find_|list_|lookup_|models_|ModelId|ProfileName).*\nregistry\\._registry\\._.*\n"
    )
    here = Path(importlib.util.find_spec("mypy").origin).parents[1]
    code = f"import sys; sys.path.append({str(here)!r}); from mypy.stubtest import main; sys.exit(main())"
    command = [
        str(installed),
        "-c",
        code,
        "registry._registry",
        "--allowlist",
        str(listed),
        "--ignore-unused-allowlist",
    ]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stdout.splitlines()[-1:] == ["Success: no issues found in 1 module"], done.stdout + done.stderr


def _generated() -> Iterator[Path]:
    yield from (SRC / "registry").glob("_registry*.py*")
    for name in SHAPES:
        yield from (ROOT / "tests" / "build" / "cases" / name / "expected").glob("*.py*")


def test_generated_files_pass_ruff(tmp_path: Path) -> None:
    for number, file in enumerate(_generated()):
        shutil.copy(file, tmp_path / f"made_{number}_{file.name}")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    for command in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [str(BIN / "ruff"), *command, "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


# Hover, as an editor asks for it


class LanguageServer:
    """As much of the Language Server Protocol as it takes to hover over a name."""

    def __init__(self, command: list[str], folder: Path, python: Path) -> None:
        self._process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._settings = {"pythonPath": str(python), "analysis": {"diagnosticMode": "openFilesOnly"}}
        self._number = 0
        capabilities = {
            "workspace": {"configuration": True, "workspaceFolders": True},
            "textDocument": {"hover": {"contentFormat": ["markdown"]}},
        }
        folders = [{"uri": folder.as_uri(), "name": "user"}]
        self.request(
            "initialize",
            {"processId": None, "rootUri": folder.as_uri(), "capabilities": capabilities, "workspaceFolders": folders},
        )
        self._send({"method": "initialized", "params": {}})

    def hover(self, file: Path, text: str, word: str) -> str:
        document = {"uri": file.as_uri(), "languageId": "python", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        line = next(number for number, line in enumerate(text.splitlines()) if word in line)
        place = {"line": line, "character": text.splitlines()[line].index(word) + 1}
        answer = self.request("textDocument/hover", {"textDocument": {"uri": file.as_uri()}, "position": place})
        return answer["contents"]["value"] if answer else ""

    def request(self, method: str, params: object) -> Any:
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while True:
            message = self._receive()
            if "method" not in message and message.get("id") == self._number:
                return message.get("result")
            if message.get("method") == "workspace/configuration":
                settings = [self._settings for _ in message["params"]["items"]]
                self._send({"id": message["id"], "result": settings})
            elif "id" in message:
                self._send({"id": message["id"], "result": None})

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._send({"method": "exit"})
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0"} | message).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        length = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if not length:
            raise EOFError("the language server ended")
        return json.loads(self._process.stdout.read(length))


@pytest.fixture(scope="module")
def hover(project: Path, installed: Path) -> Iterator[Callable[[str], str]]:
    server = LanguageServer([str(BIN / "basedpyright-langserver"), "--stdio"], project, installed)
    text = "from registry import COLBERT_V2, get_model\n\nCOLBERT_V2.embedding_dim\nget_model\n"
    yield lambda word: server.hover(project / "hover.py", text, word)
    server.close()


@pytest.mark.parametrize(
    ("word", "texts"),
    [
        (
            "COLBERT_V2",
            ["COLBERT_V2", "MultiVectorModel", "colbertv2.0: colbert, 110M parameters, 128 dimensions, 512 tokens"],
        ),
        ("get_model", ["Give the record with this id or alias"]),
    ],
)
def test_hover_over_a_name_shows_its_documentation(word: str, texts: list[str], hover: Callable[[str], str]) -> None:
    shown = hover(word).replace("\\", "").replace("&nbsp;", " ")

    assert [text for text in texts if text not in shown] == []

"""Which handle type checkers say comes back."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.tools

BIN = Path(sys.executable).parent

GOOD = """
from typing import TypeAlias, assert_type

from registry import (
    ALL_MINILM_L6_V2,
    COLBERT_V2,
    QWEN2_5_CODER_3B_Q4_K_M,
    SPLADE_V3,
    ChatModel,
    ModelConfig,
    ModelInfo,
    RerankerModel,
    get_default_model,
    get_model,
)
from registry.loaders import (
    Chat,
    ChatCompletion,
    ChatCompletionChunk,
    Completion,
    DenseEncoder,
    LateInteractionEncoder,
    LoadOptions,
    ModelManager,
    Reranker,
    SparseEncoder,
    Stream,
    load,
)

Encoder: TypeAlias = DenseEncoder | LateInteractionEncoder | SparseEncoder
Any_: TypeAlias = Chat | Encoder | Reranker


def loading(reranker: RerankerModel, record: ModelInfo, chat: ChatModel) -> None:
    assert_type(load(), Chat)
    assert_type(load(QWEN2_5_CODER_3B_Q4_K_M), Chat)
    assert_type(load(get_default_model()), Chat)
    assert_type(load(chat, path="x.gguf", threads=2, template="chatml"), Chat)
    assert_type(load(ALL_MINILM_L6_V2), DenseEncoder)
    assert_type(load(get_model("all-minilm-l6-v2")), DenseEncoder)
    assert_type(load(COLBERT_V2, dtype="auto"), LateInteractionEncoder)
    assert_type(load(SPLADE_V3), SparseEncoder)
    assert_type(load(reranker, options=LoadOptions(threads=1)), Reranker)
    assert_type(load("colbert-v2"), Any_)
    assert_type(load(record), Any_)
    assert_type(load(ModelConfig.colbert_v2()), Encoder)
    with load(COLBERT_V2) as encoder:
        assert_type(encoder, LateInteractionEncoder)


def managing(manager: ModelManager, reranker: RerankerModel, record: ModelInfo) -> None:
    with manager.use() as default, manager.use(QWEN2_5_CODER_3B_Q4_K_M, fallback=True) as chat:
        assert_type(default, Chat)
        assert_type(chat, Chat)
    with manager.use(ALL_MINILM_L6_V2) as dense, manager.use(COLBERT_V2, path="x") as late:
        assert_type(dense, DenseEncoder)
        assert_type(late, LateInteractionEncoder)
    with manager.use(SPLADE_V3) as sparse, manager.use(reranker, options=LoadOptions()) as ranker:
        assert_type(sparse, SparseEncoder)
        assert_type(ranker, Reranker)
    with manager.use("colbert-v2") as named, manager.use(record) as known:
        assert_type(named, Any_)
        assert_type(known, Any_)


async def talking(chat: Chat) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    assert_type(chat.reply(messages, temperature=0.2, stop=["x"]), ChatCompletion)
    assert_type(chat.stream(messages), Stream[ChatCompletionChunk])
    assert_type(await chat.areply(messages), ChatCompletion)
    async for chunk in chat.astream(messages, seed=1):
        assert_type(chunk, ChatCompletionChunk)
    assert_type(chat.complete("Hi", max_tokens=1), Completion)
    assert_type(chat.reply(messages)["choices"][0]["message"]["content"], str | None)
    assert_type(chat.model, ChatModel)
    for piece in chat.stream(messages):
        assert_type(piece["choices"][0]["delta"].get("content"), str | None)
"""

# What is wrong -> the statement, mypy's code, and the rules of which pyright may name one.
WRONG = {
    "misspelt option": ("load(COLBERT_V2, thread=1)", "call-overload", "reportCallIssue|reportArgumentType"),
    "option of another type": ('load(COLBERT_V2, threads="1")', "call-overload", "reportCallIssue|reportArgumentType"),
    "number for a model": ("load(5)", "call-overload", "reportCallIssue|reportArgumentType"),
    "option without its name": ('load(COLBERT_V2, "x")', "call-overload", "reportCallIssue|reportArgumentType"),
    "method of another handle": (
        'load(ALL_MINILM_L6_V2).reply([{"role": "user", "content": "Hi"}])',
        "attr-defined",
        "reportAttributeAccessIssue",
    ),
    "misspelt option of a manager": (
        "ModelManager().use(COLBERT_V2, fallbak=True)",
        "call-overload",
        "reportCallIssue|reportArgumentType",
    ),
    "misspelt option of an answer": ("load().reply([], temprature=1)", "call-arg", "reportCallIssue"),
    "option of reply for complete": ('load().complete("Hi", tools=[])', "call-arg", "reportCallIssue"),
    "misspelt name of the room": ("registry.loaders.lod()", "attr-defined", "reportAttributeAccessIssue"),
}
WRONG_FILE = (
    "import registry.loaders; from registry import ALL_MINILM_L6_V2, COLBERT_V2\n"
    "from registry.loaders import ModelManager, load\n"
) + "".join(f"{statement}\n" for statement, _, _ in WRONG.values())

# What lies inside the handles takes mypy a minute to read, and is in none of their signatures.
MYPY = """
[mypy]
[mypy-torch.*,transformers.*,sentence_transformers.*,scipy.*,huggingface_hub.*,safetensors.*,tqdm.*,llama_cpp.*]
ignore_missing_imports = True
follow_imports = skip
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user of load")
    (folder / "good.py").write_text(GOOD)
    (folder / "wrong.py").write_text(WRONG_FILE)
    (folder / "mypy.ini").write_text(MYPY)
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    return folder


@pytest.fixture(scope="module")
def mypy(project: Path, installed: Path) -> list[str]:
    """Give the errors of mypy --strict: `file:line: error: text  [code]`."""
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed), "good.py", "wrong.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if ": error: " in line]


@pytest.fixture(scope="module")
def pyright(project: Path, installed: Path) -> list[str]:
    """Give the errors of basedpyright: `file:line: text  [rule]`."""
    command = [str(BIN / "basedpyright"), "--outputjson", "--pythonpath", str(installed), "good.py", "wrong.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    found = [problem for problem in json.loads(done.stdout)["generalDiagnostics"] if problem["severity"] == "error"]
    lines = [problem["range"]["start"]["line"] + 1 for problem in found]
    return [
        f"{Path(problem['file']).name}:{line}: {problem['message']}  [{problem['rule']}]"
        for problem, line in zip(found, lines, strict=True)
    ]


def test_mypy_knows_the_handle_of_each_record(mypy: list[str]) -> None:
    assert [error for error in mypy if not error.startswith("wrong.py")] == []


def test_pyright_knows_the_handle_of_each_record(pyright: list[str]) -> None:
    assert [error for error in pyright if not error.startswith("wrong.py")] == []


@pytest.mark.parametrize("what", WRONG)
def test_mypy_refuses_what_is_wrong(what: str, mypy: list[str]) -> None:
    line = list(WRONG).index(what) + 3
    codes = {error.rpartition("[")[2].rstrip("]") for error in mypy if error.startswith(f"wrong.py:{line}:")}
    assert codes == {WRONG[what][1]}


@pytest.mark.parametrize("what", WRONG)
def test_pyright_refuses_what_is_wrong(what: str, pyright: list[str]) -> None:
    line = list(WRONG).index(what) + 3
    rules = [error.rpartition("[")[2].rstrip("]") for error in pyright if error.startswith(f"wrong.py:{line}:")]
    assert rules
    assert all(re.fullmatch(WRONG[what][2], rule) for rule in rules)

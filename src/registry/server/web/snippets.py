"""How to use a model: lines to copy that are right for its kind. Pure: a record in, text out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from registry._places import extra_of, gguf_file
from registry.records import ChatModel, DenseModel, EncoderModel, MultiVectorModel, RerankerModel, SparseModel

if TYPE_CHECKING:
    from registry.records import ModelInfo

_SHIPPED = "registry._registry"
_QUERY = "Which organ moves blood?"
_DOCUMENTS = ("The heart pumps blood.", "The Nile is a river.")
# Variable that holds the loaded model, and what is done with it.
_DENSE = f"""\
queries = encoder.encode_query(["{_QUERY}"])
documents = encoder.encode_document(["{_DOCUMENTS[0]}", "{_DOCUMENTS[1]}"])
print(encoder.similarity(queries, documents))"""
_LATE_INTERACTION = f"""\
documents = encoder.encode_document(["{_DOCUMENTS[0]}", "{_DOCUMENTS[1]}"])
for found in encoder.rank("{_QUERY}", documents):
    print(found.index, found.score)"""
_SPARSE = f"""\
weights = encoder.encode_document(["{_DOCUMENTS[0]}"])
print(encoder.decode(weights[0], top_k=5))"""
_RERANK = f"""\
documents = ["{_DOCUMENTS[0]}", "{_DOCUMENTS[1]}"]
for found in reranker.rank("{_QUERY}", documents):
    print(found.index, found.score)"""
_CHAT = """\
answer = chat.reply([{"role": "user", "content": "Why is the sky blue?"}])
print(answer["choices"][0]["message"]["content"])"""
_PYTHON: tuple[tuple[type[Any], str, str], ...] = (
    (ChatModel, "chat", _CHAT),
    (RerankerModel, "reranker", _RERANK),
    (SparseModel, "encoder", _SPARSE),
    (MultiVectorModel, "encoder", _LATE_INTERACTION),
    (DenseModel, "encoder", _DENSE),
)


class Snippet(NamedTuple):
    """Lines to copy.

    Attributes:
        key: Name that is unique on a page.
        title: What they are for.
        language: `sh` or `python`.
        code: The lines.
        note: What has to be known beside them; empty where nothing has.
    """

    key: str
    title: str
    language: str
    code: str
    note: str = ""


def snippets_of(record: ModelInfo, module: str, base_url: str, *, needs_key: bool = False) -> tuple[Snippet, ...]:
    """Give how to fetch a model, how to load it in Python, and how to ask this server for what it does.

    Args:
        record: The model.
        module: The module that has it, `registry._registry` for the shipped ones.
        base_url: Where this server answers, without a slash at the end.
        needs_key: Whether requests that use a model have to bring the server's key.
    """
    found = [_command(record, module)]
    if _reads_text(record):
        found.append(Snippet("python", "Python", "python", python_code(record, module), _python_note(record)))
        found += _requests(record, base_url, needs_key)
    return tuple(found)


def stored_snippets(name: str, base_url: str) -> tuple[Snippet, ...]:
    """Give how to read a model that only the store knows: there is no record to load it by."""
    code = f"from registry.catalog import Catalog\n\nwith Catalog.open() as catalog:\n    print(catalog.get({name!r}))"
    note = "Only the catalogue store knows this model. To load it, give it a record in a models.json."
    return (
        Snippet("python", "Python", "python", code, note),
        Snippet("curl", "HTTP", "sh", f"curl {base_url}/api/models/{name}"),
    )


def python_code(record: ModelInfo, module: str) -> str:
    """Give a program that loads a model and uses it."""
    name, use = next((name, use) for kind, name, use in _PYTHON if isinstance(record, kind))
    source, model = _named(record, module)
    options = ", allow_remote_code=True" if record.requires_remote_code and not isinstance(record, ChatModel) else ""
    body = "\n".join(f"    {line}" for line in use.splitlines())
    return f"{source}\nfrom registry.loaders import load\n\nwith load({model}{options}) as {name}:\n{body}"


def constant_of(record: ModelInfo, module: str) -> str | None:
    """Give the constant that a generated module has for a record, or `None`."""
    name = re.sub(r"[^A-Z0-9]", "_", record.id.upper())
    return name if getattr(sys.modules.get(module), name, None) is record else None


def _named(record: ModelInfo, module: str) -> tuple[str, str]:
    """Give the import that brings a record, and the expression that it is then."""
    package = "registry" if module == _SHIPPED else module
    if constant := constant_of(record, module):
        return f"from {package} import {constant}", constant
    return f"from {package} import get_model", f"get_model({record.id!r})"


def _command(record: ModelInfo, module: str) -> Snippet:
    extra = "chat" if isinstance(record, ChatModel) or _is_gguf(record) else extra_of(record) or "embed"
    words = ["registry download", record.id]
    words += [] if _is_pinned(record) else ["--allow-unpinned"]
    other = [] if module == _SHIPPED else ["--registry", module]
    lines = [f'pip install "typed-model-registry[cli,{extra}]"', " ".join([*words, *other])]
    if use := _use(record):
        lines.append(" ".join([use, *other]))
    return Snippet("command", "Command line", "sh", "\n".join(lines), _command_note(record))


def _command_note(record: ModelInfo) -> str:
    notes = [] if _is_pinned(record) else ["The record pins neither a commit nor a sha256: what comes is written down."]
    weights = {file.role for file in getattr(record, "files", ())} & {"safetensors", "gguf", "pytorch", "onnx"}
    if weights and not weights & {"safetensors", "gguf"}:
        named = " and ".join(sorted(weights))
        notes.append(
            f"The record names weights as {named} only, which are never loaded: without safetensors in the "
            "repository, fetching is refused."
        )
    return " ".join(notes)


def _use(record: ModelInfo) -> str | None:
    if isinstance(record, ChatModel):
        return f"registry chat {record.id}"
    if not _reads_text(record):
        return None
    return f'registry similarity {record.id} "{_QUERY}" "{_DOCUMENTS[0]}" "{_DOCUMENTS[1]}"'


def _python_note(record: ModelInfo) -> str:
    if record.requires_remote_code and not isinstance(record, ChatModel):
        return "Loading runs Python code from the model's repository. Read it first."
    return ""


def _requests(record: ModelInfo, base_url: str, needs_key: bool) -> Iterator[Snippet]:
    body: Mapping[str, object]
    if isinstance(record, ChatModel):
        path, body = "/v1/chat/completions", {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    elif isinstance(record, DenseModel):
        path, body = "/v1/embeddings", {"input": list(_DOCUMENTS), "input_type": "document"}
    elif isinstance(record, RerankerModel | MultiVectorModel):
        path, body = "/v1/rerank", {"query": _QUERY, "documents": list(_DOCUMENTS)}
    else:
        return
    key = ['-H "Authorization: Bearer $REGISTRY_API_KEY"'] if needs_key else []
    data = json.dumps({"model": record.id, **body}, ensure_ascii=False).replace("'", "'\\''")
    lines = [f"curl {base_url}{path}", *key, f"-d '{data}'"]
    yield Snippet("curl", "HTTP", "sh", " \\\n  ".join(lines), "The server loads the model when it is first asked.")


def _reads_text(record: ModelInfo) -> bool:
    """True for what this library loads: models of a class it knows that read text."""
    known = isinstance(record, tuple(kind for kind, _, _ in _PYTHON))
    return known and not (isinstance(record, MultiVectorModel) and "image" in record.modalities)


def _is_gguf(record: ModelInfo) -> bool:
    files = getattr(record, "files", ())
    return (
        isinstance(record, EncoderModel)
        and gguf_file(record) is not None
        and not any(file.role == "safetensors" for file in files)
    )


def _is_pinned(record: ModelInfo) -> bool:
    """True where the record itself says which bytes are the right ones, as fetching sees it."""
    file = gguf_file(record)
    return record.revision is not None or (file is not None and file.sha256 is not None)

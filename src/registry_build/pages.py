"""Plan -> docs/MODELS.md, the page that lists every model and the profiles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from registry_build.emit import environment
from registry_build.plan import Model, Plan
from registry_build.problems import printable

HEADINGS = {
    "colbert": "Late interaction (ColBERT)",
    "multimodal-colbert": "Late interaction on images and text",
    "dense": "Dense embeddings",
    "sparse": "Sparse embeddings",
    "reranker": "Rerankers",
    "chat": "Chat models (GGUF)",
}


def page(plan: Plan) -> str:
    """Write the page."""
    sections, profiles = list(_sections(plan)), list(_profiles(plan))
    return environment().get_template("models.md.j2").render(plan=plan, sections=sections, profiles=profiles)


def _sections(plan: Plan) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Give heading, column names and rows for each type, in the order of the file."""
    for model_type in dict.fromkeys(model.record["type"] for model in plan.models):
        models = [model for model in plan.models if model.record["type"] == model_type]
        columns = _CHAT if models[0].class_name == "ChatModel" else _ENCODER
        rows = [[_cell(of(model)) for of in columns.values()] for model in models]
        yield HEADINGS.get(model_type, f"Type `{model_type}`"), list(columns), rows


def _profiles(plan: Plan) -> Iterator[tuple[str, str, list[list[str]]]]:
    """Give name, description and rows for each profile."""
    for profile in plan.profiles:
        rows = []
        for role, (name, provider, _, parameters, _, fallback) in profile.models.items():
            stated = ", ".join(f"{key} {_stated(value)}" for key, value in (parameters or {}).items())
            rows.append([_cell(value) for value in (f"`{role}`", name, provider, stated, ", ".join(fallback or ()))])
        yield f"`{profile.name}`", _cell(profile.description), rows


def _stated(value: Any) -> str:
    """Write the value of a parameter as models.json has it."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _cell(value: Any) -> str:
    """Write a value so that it stays in its cell of a Markdown table."""
    text = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return printable(" ".join(text.split())).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _hub_link(model: Model) -> str:
    name = model.record["huggingface_id"]
    return f"[{name}](https://huggingface.co/{name})"


def _pinned(model: Model) -> str:
    """Say what proves the files that loading takes: safetensors and GGUF, never the other formats."""
    weights = model.record.get("files", {}).get("weights", {})
    files = [model.record.get("file"), *(file for role in ("safetensors", "gguf") for file in _listed(weights, role))]
    hashed = [bool(isinstance(file, dict) and file.get("sha256")) for file in files if file]
    words = {"commit": model.record.get("revision"), "sha256": hashed and all(hashed)}
    return ", ".join(word for word, said in words.items() if said)


def _listed(weights: dict[str, Any], role: str) -> list[Any]:
    found = weights.get(role, [])
    return found if isinstance(found, list) else [found]


def _license(model: Model) -> Any:
    return model.record["license"]


_ENCODER = {
    "id": lambda model: f"`{model.id}`",
    "repository": _hub_link,
    "parameters": lambda model: model.record["specs"]["parameters"],
    "dimensions": lambda model: model.record["specs"]["embedding_dim"],
    "tokens": lambda model: model.record["specs"]["context_length"],
    "license": _license,
    "pinned": _pinned,
}
_CHAT = {
    "id": lambda model: f"`{model.id}`",
    "repository": _hub_link,
    "parameters": lambda model: model.record["specs"]["parameters"],
    "tokens": lambda model: model.record["specs"]["context_length"],
    "bytes": lambda model: model.record["file"]["size_bytes"],
    "license": _license,
    "pinned": _pinned,
}

"""Ollama's Modelfile: `ollama create NAME -f FILE`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from registry.chat.templates import TEMPLATES, Template
from registry.configs.go_template import go_template, unsayable
from registry.configs.plain import checked, prose
from registry.configs.served import Served
from registry.configs.server_options import is_number
from registry.errors import UnsupportedModelError
from registry.records import ChatModel

# Names of this library, and of what else a role may state -> Ollama's: those of its documentation, then of its code.
_PARAMETERS = {
    "context_length": "num_ctx",
    "repeat_last_n": "repeat_last_n",
    "repeat_penalty": "repeat_penalty",
    "temperature": "temperature",
    "seed": "seed",
    "max_tokens": "num_predict",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}


def ollama_modelfile(served: Served, *, system: str | None = None) -> str:
    """Write a Modelfile: the file, its template, and what it generates with unless a request says otherwise.

    Args:
        served: The model.
        system: System text of conversations that bring none.

    Raises:
        UnsupportedModelError: A text has something that the format has no way to quote.
    """
    record = served.record
    lines = [f"# {prose(record.name, 200)}: made by `registry export --format modelfile`."]
    lines += [f"# ollama create {prose(record.id, 200)} -f FILE", f"FROM {_quoted(_path(served), record.id)}"]
    template = TEMPLATES.get(str(record.template)) if isinstance(record, ChatModel) and record.template else None
    lines += _template(record, template)
    if system:
        lines.append(f"SYSTEM {_quoted(system, record.id)}")
    lines += _parameters(served)
    lines += [f"PARAMETER stop {_quoted(stop, record.id)}" for stop in _stops(served, template)]
    if record.license:
        source = f" ({record.license_url})" if record.license_url else ""
        lines.append(f"LICENSE {_quoted(prose(f'{record.license}{source}', 1000), record.id)}")
    return "".join(f"{line}\n" for line in lines)


def _path(served: Served) -> str:
    return checked(str(served.path), served.record.id, "the path")


def _template(record: object, template: Template | None) -> Iterator[str]:
    if not isinstance(record, ChatModel):
        return
    if template is None:
        yield "# The template is the file's own: the record names none."
    elif reason := unsayable(template):
        yield f"# The template is the file's own: that of `{template.name}` has no equal in Go's language, as {reason}."
    else:
        if template.trim:
            yield "# White space round messages is kept, which the family's own template takes away."
        yield f"TEMPLATE {_quoted(go_template(template), record.id)}"


def _parameters(served: Served) -> Iterator[str]:
    stated: dict[str, Any] = dict(served.parameters)
    if isinstance(served.record, ChatModel):
        standard = {"context_length": served.record.runtime.context_length} | asdict(served.record.defaults)
        stated = standard | stated
    for name in _written(served, stated):
        value = stated[name]
        # JSON has one kind of number, and Ollama takes no 64.0 for one of its integers; for others 1 is 1.0.
        yield f"PARAMETER {_PARAMETERS[name]} {int(value) if value == int(value) else value}"


def said(served: Served) -> frozenset[str]:
    """Name the parameters that a Modelfile can say."""
    stops = {"stop"} if isinstance(served.record, ChatModel) else set()
    return frozenset({*_written(served, served.parameters), *stops})


def _written(served: Served, stated: Mapping[str, Any]) -> Iterator[str]:
    known = _PARAMETERS if isinstance(served.record, ChatModel) else ("context_length",)
    for name in known:
        if is_number(stated.get(name)):
            yield name


def _stops(served: Served, template: Template | None) -> Iterable[str]:
    record, stated = served.record, served.parameters.get("stop", ())
    if not isinstance(record, ChatModel):
        return ()
    own = (*template.stops, *template.turn_markers) if template is not None else ()
    return dict.fromkeys((*own, *record.stop_sequences, *((stated,) if isinstance(stated, str) else stated)))


def _quoted(text: str, model_id: str) -> str:
    """Quote a text as Ollama's parser reads it: it ends at the first end of a line that has closing quotes before it.

    Raises:
        UnsupportedModelError: A line of the text would end it, or a character would be lost.
    """
    lost = next((sign for sign in text if not (sign.isprintable() or sign in "\n\t")), None)
    if lost is not None:
        raise UnsupportedModelError(model_id, f"{lost!r} cannot be written in a Modelfile: {text!r}. Leave it out.")
    quotes = '"""' if "\n" in text or text.startswith('"') else '"'
    if any(line.rstrip().endswith(quotes) for line in text.split("\n")[:-1]):
        raise UnsupportedModelError(
            model_id,
            f"a line ends with quotes, which would end the text in a Modelfile: {text!r}. Put a sign behind them.",
        )
    return f"{quotes}{text}{quotes}"

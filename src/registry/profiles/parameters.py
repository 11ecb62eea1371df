"""Generation parameters: one name for each, who states it, and what it may be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from registry._frozen import FrozenDict
from registry.chat import GenerationParams
from registry.errors import InvalidOptionError, InvalidSettingError
from registry.profiles.rules import NUM_PREDICT
from registry.records import ChatModel, RuntimeDefaults, SamplingDefaults

if TYPE_CHECKING:
    from registry.records import ModelInfo

SAMPLING = ("temperature", "top_p", "top_k", "repeat_penalty", "max_tokens")
CANONICAL = (*SAMPLING, "stop", "seed", "context_length")
ALIASES = {
    "num_predict": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "repetition_penalty": "repeat_penalty",
    "num_ctx": "context_length",
    "n_ctx": "context_length",
}
"""Names of other programs, with the names here."""

_INTEGERS = ("top_k", "max_tokens", "seed", "context_length")
_NO_LIMIT = (0, -1, -2)  # what Ollama takes in `num_predict` for an answer of any length


class Layer(NamedTuple):
    """What one of those who may state parameters states.

    Attributes:
        source: Who it is, as a report says it: `the caller`.
        values: Parameters by the names of this library; `None` lifts the limit that a lower layer states.
    """

    source: str
    values: Mapping[str, Any]


class Merged(NamedTuple):
    """Parameters of several layers.

    Attributes:
        values: Parameters by the names of this library, read-only.
        sources: Who stated each of them.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]


def canonical(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Give parameters by the names of this library, checked; a name that this library does not know stays.

    Where a parameter is stated by two of its names, its name here wins. `num_predict` of 0, -1 or -2 becomes
    `max_tokens` of `None`: no limit, whatever a lower layer says. Any other `None` states nothing.

    Raises:
        InvalidOptionError: A value is out of its range, or of another type.

    Example:
        >>> canonical({"num_predict": 512, "num_ctx": 8192, "mirostat": 2})
        {'max_tokens': 512, 'context_length': 8192, 'mirostat': 2}
    """
    names = {name: name for name in stated if name not in ALIASES and stated[name] is not None}
    for alias, name in ALIASES.items():
        if stated.get(alias) is not None:
            names.setdefault(name, alias)
    found = {name: _read(alias, stated[alias]) for name, alias in names.items()}
    try:
        _check({name: value for name, value in found.items() if value is not None})
    except InvalidOptionError as error:
        own_name = names.get(error.option, error.option)
        expected = NUM_PREDICT if own_name == "num_predict" else error.expected
        raise InvalidOptionError(own_name, expected, stated.get(own_name, error.got)) from None
    if "stop" in found:
        found["stop"] = _stops(found["stop"])
    order = {name: place for place, name in enumerate(CANONICAL)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))


def _read(name: str, value: Any) -> Any:
    if name == "num_predict" and type(value) is int and value in _NO_LIMIT:
        return None
    if isinstance(value, float) and value.is_integer() and ALIASES.get(name, name) in _INTEGERS:
        return _read(name, int(value))  # JSON has one kind of number: 40.0 is an integer
    return value


def merge(*layers: Layer) -> Merged:
    """Lay parameters over one another: the first layer that states one has it."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.values.items():
            if name not in values:
                values[name], sources[name] = value, layer.source
    stated = {name: value for name, value in values.items() if value is not None}
    return Merged(FrozenDict(stated), FrozenDict(sources))


def of_settings() -> dict[str, Any]:
    """Give the parameters of the setting `parameters`: `temperature=0.2,top_p=0.9`; several `stop=` are all kept.

    Raises:
        InvalidSettingError: One is not `name=value`, stands twice, or has a value that it cannot have.
    """
    from registry import _settings

    found: dict[str, Any] = {}
    for word in _settings.words("parameters") or ():
        name, sign, text = (part.strip() for part in word.partition("="))
        if not (name and sign and text) or (name in found and name != "stop"):
            expected = "`name=value` with every name once, such as `temperature=0.2`"
            raise InvalidSettingError("parameters", _settings.stated_in("parameters"), expected, word)
        found[name] = (*found.get("stop", ()), text) if name == "stop" else _value(text)
    try:
        return canonical(found)
    except InvalidOptionError as error:
        where, expected = _settings.stated_in("parameters"), f"`{error.option}` to be {error.expected}"
        raise InvalidSettingError("parameters", where, expected, error.got) from None


def of_record(record: ModelInfo | None) -> dict[str, Any]:
    """Give the parameters that a record states itself.

    A value that is the standard one of `SamplingDefaults` or `RuntimeDefaults` counts as not stated: every record has
    those, and they shall not hide what the user has set for all models.
    """
    if not isinstance(record, ChatModel):
        return {}
    standard, stated = SamplingDefaults(), record.defaults
    found = {name: getattr(stated, name) for name in SAMPLING if getattr(stated, name) != getattr(standard, name)}
    if record.runtime.context_length != RuntimeDefaults().context_length:
        found["context_length"] = record.runtime.context_length
    return canonical(found)


def known_to_local(record: ModelInfo | None) -> frozenset[str]:
    """Give the names of the parameters that loading and asking a record on this machine knows."""
    if not isinstance(record, ChatModel):
        return frozenset({"context_length", "dimensions"})
    from registry.loaders.completion import ReplyKeywords

    return frozenset({*ReplyKeywords.__annotations__, "context_length"})


def _value(text: str) -> Any:
    """Read a number, `true` or `false`; anything else is the text itself."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, bool | int | float) else text


def _check(values: Mapping[str, Any]) -> None:
    GenerationParams(**{name: values[name] for name in SAMPLING if name in values})
    for name, least in (("seed", 0), ("context_length", 1)):
        if name in values and not (type(values[name]) is int and values[name] >= least):
            raise InvalidOptionError(name, f"an integer of at least {least}", values[name])
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):  # no JSON holds it, neither a report's nor a server's
            raise InvalidOptionError(name, "a finite number", value)


def _stops(stated: object) -> tuple[str, ...]:
    texts = (stated,) if isinstance(stated, str) else stated
    if isinstance(texts, Sequence) and not isinstance(texts, bytes) and all(isinstance(t, str) and t for t in texts):
        return tuple(texts)
    raise InvalidOptionError("stop", "a text that is not empty, or a list of such texts", stated)

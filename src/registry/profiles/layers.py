"""Who may state the parameters of a model, and what of it a provider is given."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from registry._frozen import FrozenDict
from registry.errors import InvalidOptionError
from registry.profiles.checkpoints.parameter_names import known_to_transformers
from registry.profiles.order import pinned
from registry.profiles.parameters import (
    SAMPLING,
    Layer,
    Merged,
    canonical,
    known_to_local,
    merge,
    of_record,
    of_settings,
)
from registry.profiles.protocol import LOCAL, OLLAMA, OPENAI, TRANSFORMERS
from registry.profiles.providers.openai_requests import KNOWN_TO_OPENAI
from registry.records import ChatModel

if TYPE_CHECKING:
    from registry.profiles.protocol import Target
    from registry.records import ModelInfo, RoleModel

CALLER, ROLE, RECORD, SETTINGS = "the caller", "the role", "the record", "the setting `parameters`"


class Given(NamedTuple):
    """What a provider is given for a model.

    Attributes:
        target: The model, with what the parameters say of which files are meant.
        parameters: Parameters by the names of this library, read-only.
        why: Where they come from, in sentences.
    """

    target: Target
    parameters: Mapping[str, Any]
    why: tuple[str, ...]


@dataclass(frozen=True)
class Layers:
    """What caller, role and settings state, checked: the same for every model of a role.

    Attributes:
        caller: What the caller of this one resolution states.
        role: What the role states.
        settings: What the user states for all models.
        home: Where the role stands, for messages.
        provider: The provider that the role states.
    """

    caller: Mapping[str, Any]
    role: Mapping[str, Any]
    settings: Mapping[str, Any]
    home: str
    provider: str | None = None

    @classmethod
    def of(cls, role_model: RoleModel, profile: str, parameters: Mapping[str, Any]) -> Layers:
        """Read what each of them states.

        Raises:
            InvalidOptionError: The caller or the role states a value that cannot be.
            InvalidSettingError: The settings do.
        """
        home = f"Role `{role_model.role}` of profile `{profile}` states it."
        try:
            role = canonical(role_model.parameters)
        except InvalidOptionError as error:
            raise InvalidOptionError(error.option, error.expected, error.got, home) from None
        return cls(canonical(parameters), role, of_settings(), home, role_model.provider)

    def given(self, provider: str, target: Target, *, is_first: bool) -> Given:
        """Merge what is stated for one model.

        `local` and `transformers`, which refuse what they do not know, are given what they know where a role falls back
        on them: they must not fail for what another provider was meant to get. So is `openai`, whose servers may
        refuse it, unless it is the role's own provider. Where `local` is that, what it does not know is an error;
        `transformers` is given it, and says so itself when it is asked. A context that role or settings state is
        lowered to what a record can hold where a role falls back on it: it was meant for another model.

        Raises:
            InvalidOptionError: A parameter means nothing to `local`, or `pinned` refuses it.
        """
        layers = [Layer(CALLER, self.caller), Layer(ROLE, self.role)]
        left_out: list[str] = []
        known = self._known_to(provider, target.record)
        if provider == LOCAL and is_first and known is not None:
            self._refuse_unknown(layers, known, target)
        if known is not None and not is_first:
            left_out = sorted({name for layer in layers for name in layer.values} - known)
            layers = [Layer(layer.source, _only(layer.values, known)) for layer in layers]
        layers += [Layer(RECORD, of_record(target.record)), Layer(SETTINGS, self._general(known, target))]
        merged = merge(*layers)
        if provider == LOCAL and not is_first:
            merged = _lowered(merged, target.record)
        parameters = {**merged.values, **_no_limit(provider, merged, target.record)}
        if provider == LOCAL and merged.sources.get("context_length") == RECORD:
            # Loading takes it from there, and what is loaded with options of its own is not what others have loaded.
            del parameters["context_length"]
        why = tuple(_reasons(provider, target, merged, left_out))
        return Given(pinned(provider, target, parameters), FrozenDict(parameters), why)

    def _known_to(self, provider: str, record: ModelInfo | None) -> frozenset[str] | None:
        """Give the names that a provider is given at most; `None` where that is for a service to say."""
        if provider == LOCAL:
            return known_to_local(record)
        if provider == TRANSFORMERS:
            return known_to_transformers(record)
        return KNOWN_TO_OPENAI if provider == OPENAI != self.provider else None

    def _general(self, known: Collection[str] | None, target: Target) -> Mapping[str, Any]:
        """Give what the settings say to this model: they are for all models, so nobody need know all of it."""
        stated = self.settings if known is None else _only(self.settings, known)
        samples = target.record is None or isinstance(target.record, ChatModel)
        return stated if samples else {name: value for name, value in stated.items() if name not in SAMPLING}

    def _refuse_unknown(self, layers: Iterable[Layer], known: Collection[str], target: Target) -> None:
        for layer in layers:
            for name, value in layer.values.items():
                if name not in known:
                    expected = f"a parameter that `local` knows for `{target.name}`"
                    close = get_close_matches(name, known, n=1)
                    remedy = f"Did you mean `{close[0]}`?" if close else f"Those are {', '.join(sorted(known))}."
                    home = f"{self.home} " if layer.source == ROLE else ""
                    raise InvalidOptionError(name, expected, value, f"{home}{remedy}")


def _only(values: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in known}


def _lowered(merged: Merged, record: ModelInfo | None) -> Merged:
    """Lower a context that role or settings state to what the record can hold; what the caller states stays."""
    source, stated = merged.sources.get("context_length"), merged.values.get("context_length")
    most = None if record is None else record.context_length
    if source not in (ROLE, SETTINGS) or stated is None or most is None or stated <= most:
        return merged
    whose = f"what the record can hold, below {stated} from {source}"
    return Merged(
        FrozenDict({**merged.values, "context_length": most}),
        FrozenDict({**merged.sources, "context_length": whose}),
    )


def _no_limit(provider: str, merged: Merged, record: ModelInfo | None) -> Mapping[str, Any]:
    """Give what lifts the limit of an answer, where somebody states that there is none: left out, providers have one.

    Records that are loaded here are given a limit that their context comes before.
    """
    samples = record is None or isinstance(record, ChatModel)
    if not samples or "max_tokens" not in merged.sources or "max_tokens" in merged.values:
        return {}
    if provider == LOCAL and isinstance(record, ChatModel):
        context = merged.values.get("context_length", record.runtime.context_length)
        return {"max_tokens": max(context, record.context_length or 0)}
    return {"num_predict": -1} if provider in (OLLAMA, TRANSFORMERS) else {}


def _reasons(provider: str, target: Target, merged: Merged, left_out: Collection[str]) -> Iterable[str]:
    parts = [
        f"`{name}` {json.dumps(value, ensure_ascii=False, default=str)} from {merged.sources[name]}"
        for name, value in merged.values.items()
    ]
    parts += [f"no limit of `{name}` from {merged.sources[name]}" for name in merged.sources.keys() - merged.values]
    asked = f"`{provider}` with `{target.name}`"
    yield f"{asked}: {', '.join(parts) if parts else 'nobody states a parameter'}."
    if left_out:
        yield f"{asked} is not given {', '.join(f'`{name}`' for name in left_out)}, which it does not know."

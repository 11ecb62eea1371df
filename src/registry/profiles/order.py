"""In which order models are tried for a role, and who is asked for each."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from registry.errors import InvalidOptionError
from registry.profiles.protocol import LOCAL, OLLAMA, OPENAI, TRANSFORMERS, Target
from registry.profiles.registered import OWN
from registry.records import ChatModel

if TYPE_CHECKING:
    from registry.queries import ModelRegistry
    from registry.records import RoleModel

_CLOSE = 0.85  # share of the letters that a slip leaves: a name of Ollama's own is rarely as near to a record


def chain(
    role_model: RoleModel, registry: ModelRegistry[Any], known: Collection[str] = tuple(OWN)
) -> tuple[tuple[str, Target], ...]:
    """Give who is asked for which model, in order: the role's own, then what it falls back on; each once.

    Where a role states no provider, a record is loaded here and any other name is Ollama's. The same goes for what it
    falls back on, with three differences. `openai:gpt-oss` names a provider and its model. A record that is no GGUF
    file stays with `transformers`, if that is the role's provider. And a name that is no record's stays with the role's
    provider, unless that is `local`, which has nothing but records.

    Args:
        role_model: What the profile states of the role.
        registry: Registry of the records.
        known: Names of the providers that may stand before a colon.
    """
    own = _target(role_model.name, registry)
    provider = role_model.provider or (OLLAMA if own.record is None else LOCAL)
    following = (_fallback(name, provider, registry, known) for name in role_model.fallback)
    found: dict[Hashable, tuple[str, Target]] = {}
    for asked, target in ((provider, own), *following):
        found.setdefault(identity(asked, target), (asked, target))
    return tuple(found.values())


def identity(provider: str, target: Target) -> Hashable:
    """Give what a model of a provider is told apart by: its record for who loads records, else the name that is sent.

    Ids and aliases of a record are names for Ollama, too, and it may have one of them without the other. Two commits
    of a repository are two models.
    """
    is_loaded_here = provider in (LOCAL, TRANSFORMERS)
    model = target.record if is_loaded_here and target.record is not None else target.name
    return provider, model, target.revision, target.allow_unpinned


def pinned(provider: str, target: Target, parameters: Mapping[str, Any]) -> Target:
    """Give a model with what its parameters say of which files are meant: `revision` and `allow_unpinned`.

    To `local`, `ollama` and `openai` they mean nothing: there, the name says all.

    Raises:
        InvalidOptionError: `revision` is no text, or `allow_unpinned` neither true nor false.
    """
    if provider in (LOCAL, OLLAMA, OPENAI):
        return target
    revision = parameters.get("revision")
    if not (revision is None or isinstance(revision, str)):
        raise InvalidOptionError("revision", "a commit, 40 hexadecimal digits", revision)
    allow_unpinned = parameters.get("allow_unpinned", target.allow_unpinned)
    if type(allow_unpinned) is not bool:
        raise InvalidOptionError("allow_unpinned", "true or false", allow_unpinned)
    return target._replace(revision=revision or target.revision, allow_unpinned=allow_unpinned)


def hint(role_model: RoleModel, target: Target, registry: ModelRegistry[Any]) -> str:
    """Name the record that a name may be a slip of; empty where who has the model is stated, or none is close."""
    name = target.name
    is_stated = name not in role_model.fallback and (name != role_model.name or role_model.provider is not None)
    if target.record is not None or is_stated or ":" in name:  # as in `qwen3:8b`, which is no slip
        return ""
    close = _close(name.lower(), tuple(known for known, _ in registry._names()))
    return f"Did you mean the record `{close}`?" if close else ""


@lru_cache(maxsize=64)  # a role is resolved in every call
def _close(name: str, names: tuple[str, ...]) -> str:
    return next(iter(get_close_matches(name, names, n=1, cutoff=_CLOSE)), "")


def _fallback(name: str, provider: str, registry: ModelRegistry[Any], known: Collection[str]) -> tuple[str, Target]:
    target = _target(name, registry)
    if target.record is not None:
        is_theirs = provider == TRANSFORMERS and not isinstance(target.record, ChatModel)
        return (provider if is_theirs else LOCAL), target
    named, sign, rest = name.partition(":")
    if sign and rest and named in known:
        return named, _target(rest, registry)
    return (OLLAMA if provider == LOCAL else provider), target


def _target(name: str, registry: ModelRegistry[Any]) -> Target:
    return Target(name, registry.find_model(name))

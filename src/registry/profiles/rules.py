"""What a manifest may say: the rules that `profiles` of models.json is built under, for a machine without the build.

The build has them as a JSON Schema and checks of its own; a test holds both against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeAlias

from registry.profiles.findings import Finding, Path, shown
from registry.profiles.protocol import LOCAL

Check: TypeAlias = Callable[[Any, Path], Iterator[Finding]]

_SLUG = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_VERSION = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?")
_COMPILED_ONLY = ("models", "adapters")


def findings(data: Any, names: Mapping[str, str]) -> dict[Path, str]:
    """Give everything that is wrong with a document, by its place.

    Args:
        data: The document.
        names: Every id and alias of the registry, each with the id it leads to.
    """
    found: dict[Path, str] = {}
    for path, message in _document(data, ()):
        found.setdefault(path, message)
    for rule in (_links(data, names), _member_clashes(data, frozenset(found))):
        # Where something has been said, a rule about the same value would only say it again.
        found.update((path, message) for path, message in list(rule) if not _is_known(path, found))
    return found


def _is_known(path: Path, found: Mapping[Path, str] | frozenset[Path]) -> bool:
    return any(path[:end] in found for end in range(len(path) + 1))


# The form: from a value and its place to what is wrong with it.


def _is(expected: str, holds: Callable[[Any], bool]) -> Check:
    def check(value: Any, path: Path) -> Iterator[Finding]:
        if not holds(value):
            yield path, f"expected {expected}, got {shown(value)}"

    return check


def _object(value: Any, path: Path, fields: Mapping[str, Check], required: Mapping[str, str]) -> Iterator[Finding]:
    """Check an object with known keys.

    Args:
        value: What stands there.
        path: Its place.
        fields: The keys that it may have.
        required: The keys that it must have, each with what is expected there.
    """
    if not isinstance(value, dict):
        yield path, f"expected an object, got {shown(value)}"
        return
    for key, expected in required.items():
        if key not in value:
            yield (*path, key), f"expected {expected}, got nothing: the key is missing"
    for key, inner in value.items():
        if key in fields:
            yield from fields[key](inner, (*path, key))
        else:
            close = get_close_matches(key, fields, n=1)
            hint = f"did you mean `{close[0]}`?" if close else "remove it"
            yield (*path, key), f"expected one of the known keys, got {shown(key)}: {hint}"


def _named(value: Any, path: Path, check: Check) -> Iterator[Finding]:
    """Check an object whose keys are names of our own."""
    if not isinstance(value, dict):
        yield path, f"expected an object, got {shown(value)}"
        return
    for key, inner in value.items():
        yield from check(inner, (*path, key))
        if not _SLUG.fullmatch(key):
            expected = "a key of lower-case letters and digits joined by single `.`, `_` or `-`"
            yield (*path, key), f"expected {expected}, got {shown(key)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return _is_number(value) and value == value // 1  # JSON has one kind of number: 40.0 is an integer


def _compiled_only(_: Any, path: Path) -> Iterator[Finding]:
    yield path, f"expected profiles only, got `{path[-1]}`: compile them with `registry generate`"


_text = _is("a string", lambda value: isinstance(value, str))
_filled = _is("a non-empty string", lambda value: isinstance(value, str) and value != "")
_flag = _is("true or false", lambda value: isinstance(value, bool))
_version = _is("a version (`1.0`, `1.0.2`)", lambda value: isinstance(value, str) and bool(_VERSION.fullmatch(value)))
NUM_PREDICT = "an integer of at least -2"
_count = _is("a positive integer", lambda value: _is_integer(value) and value >= 1)
_penalty = _is("a number above 0", lambda value: _is_number(value) and value > 0)
_stops = _is("a non-empty string or a list", lambda value: isinstance(value, str | list) and value != "")


def _stop(value: Any, path: Path) -> Iterator[Finding]:
    yield from _stops(value, path)
    for number, item in enumerate(value if isinstance(value, list) else ()):
        yield from _filled(item, (*path, number))


_PARAMETERS: Mapping[str, Check] = {
    "temperature": _is("a number from 0 to 2", lambda value: _is_number(value) and 0 <= value <= 2),
    "top_p": _is("a number above 0, at most 1", lambda value: _is_number(value) and 0 < value <= 1),
    "top_k": _is("an integer of at least 0", lambda value: _is_integer(value) and value >= 0),
    "repeat_penalty": _penalty,
    "repetition_penalty": _penalty,
    "max_tokens": _count,
    "max_completion_tokens": _count,
    "num_predict": _is(NUM_PREDICT, lambda value: _is_integer(value) and value >= -2),
    "context_length": _count,
    "num_ctx": _count,
    "n_ctx": _count,
    "seed": _is("an integer of at least 0", lambda value: _is_integer(value) and value >= 0),
    "stop": _stop,
    "revision": _filled,
    "allow_unpinned": _flag,
}
_any_parameter = _is(
    "a number, a string, true or false or a list", lambda value: isinstance(value, bool | int | float | str | list)
)


def _parameters(value: Any, path: Path) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield path, f"expected an object, got {shown(value)}"
        return
    for name, inner in value.items():
        place = (*path, name)
        yield from _PARAMETERS.get(name, _any_parameter)(inner, place)
        if name not in _PARAMETERS and isinstance(inner, list):
            for number, item in enumerate(inner):
                yield from _text(item, (*place, number))


def _fallback(value: Any, path: Path) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield path, f"expected a list, got {shown(value)}"
        return
    if any(_same(item, other) for place, item in enumerate(value) for other in value[:place]):
        yield path, "expected every item once, got one of them twice"
    for number, item in enumerate(value):
        yield from _filled(item, (*path, number))


def _same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal; to Python, `true` and 1 would be."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


_ROLE: Mapping[str, Check] = {
    "name": _filled,
    "provider": _filled,
    "auto_download": _flag,
    "description": _text,
    "parameters": _parameters,
    "fallback": _fallback,
}


def _role(value: Any, path: Path) -> Iterator[Finding]:
    if isinstance(value, str):
        return _filled(value, path)
    return _object(value, path, _ROLE, {"name": "a non-empty string"})


def _roles(value: Any, path: Path) -> Iterator[Finding]:
    return _named(value, path, _role)


def _profile(value: Any, path: Path) -> Iterator[Finding]:
    return _object(value, path, {"description": _text, "models": _roles}, {"models": "an object"})


def _profiles(value: Any, path: Path) -> Iterator[Finding]:
    return _named(value, path, _profile)


def _document(value: Any, path: Path) -> Iterator[Finding]:
    fields = {"$schema": _text, "version": _version, "profiles": _profiles}
    fields |= dict.fromkeys(_COMPILED_ONLY, _compiled_only)
    return _object(value, path, fields, {"profiles": "an object"})


# What the form cannot say. Values of the wrong type are left to the form.


def _links(data: Any, names: Mapping[str, str]) -> Iterator[Finding]:
    """Check that what is served from here is a record; other names may be known to the provider."""
    for path, role in _every_role(data):
        if not isinstance(role, dict) or role.get("provider") != LOCAL:
            continue
        name, fallback = role.get("name"), role.get("fallback")
        if isinstance(name, str):
            yield from _link((*path, "name"), name, names)
        own = names.get(name) if isinstance(name, str) else None
        for place, other in enumerate(fallback if isinstance(fallback, list) else ()):
            if isinstance(other, str):
                yield from _link((*path, "fallback", place), other, names, own)


def _link(path: Path, name: str, names: Mapping[str, str], own: str | None = None) -> Iterator[Finding]:
    if name not in names:
        close = get_close_matches(name, sorted(names), n=1)
        hint = f": did you mean `{close[0]}`?" if close else ""
        yield path, f"expected the id or alias of a record, got {shown(name)}{hint}"
    elif names[name] == own:
        yield path, f"expected another record, got {shown(name)} itself"


def _member_clashes(data: Any, wrong: frozenset[Path]) -> Iterator[Finding]:
    """Give roles that would be one member of `Role`; one that is wrong in itself takes no name away."""
    members: dict[str, str] = {}
    for path, _ in _every_role(data):
        role = str(path[-1])
        if _is_known(path, wrong):
            continue
        member = _member(role)
        if members.setdefault(member, role) != role:
            expected = "a value with a member of its own in `Role`"
            yield path, f"expected {expected}, got {shown(role)}: `{member}` is already {shown(members[member])}"


def _member(role: str) -> str:
    """Name the member of a role, which has the form of a slug: `fill-in.middle` -> `FILL_IN_MIDDLE`."""
    name = re.sub(r"[._-]", "_", role).upper()
    return name if name[0].isalpha() else f"ROLE_{name}"


def _every_role(data: Any) -> Iterator[tuple[Path, Any]]:
    profiles = data.get("profiles") if isinstance(data, dict) else None
    for name, profile in profiles.items() if isinstance(profiles, dict) else ():
        roles = profile.get("models") if isinstance(profile, dict) else None
        for role, value in roles.items() if isinstance(roles, dict) else ():
            yield ("profiles", name, "models", role), value

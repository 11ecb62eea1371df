"""Everything that can be wrong with the data: the schema's findings and the rules that a schema cannot state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from functools import cache
from itertools import chain
from typing import Any, Literal, TypeAlias

import langcodes
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from registry_build.naming import constant_name, is_name, member_name
from registry_build.problems import Path, Problem, locate, one_of, shown
from registry_build.rows import is_sparse
from registry_build.schema import check
from registry_build.source import Source
from registry_build.vocabulary import RESERVED, ROLE, VOCABULARIES, values_at

Finding: TypeAlias = tuple[Path, str]
Record: TypeAlias = dict[str, Any]

PROVIDERS = ("local", "ollama", "openai", "transformers")


def validate(source: Source, schemas: Iterable[dict[str, Any]]) -> list[Problem]:
    """Give every problem of the file, errors and warnings, in the order of its lines."""
    findings: dict[Path, str] = {}
    for schema in schemas:
        findings = dict(check(source.data, schema)) | findings
    for rules in (_rules, _vocabulary_clashes):
        for path, message in rules(source.data, findings):
            # Where something has been said, a rule about the same value would only say it again.
            if not _is_known(path, findings):
                findings[path] = message
    problems = [_problem(source, path, message) for path, message in findings.items()]
    problems += [_problem(source, path, message, warning=True) for path, message in _doubts(source.data)]
    return sorted(problems)


def _problem(source: Source, path: Path, message: str, *, warning: bool = False) -> Problem:
    severity: Literal["error", "warning"] = "warning" if warning else "error"
    return Problem(source.file, source.line(path), *locate(source.data, path), message, severity)


def _is_known(path: Path, findings: Mapping[Path, str]) -> bool:
    return bool(findings) and any(path[:end] in findings for end in range(len(path) + 1))


def _rules(data: Any, _: Mapping[Path, str]) -> Iterator[Finding]:
    """Give what is wrong beyond the schema; values of the wrong type are left to the schema."""
    records = list(_records(data))
    names = _Names(records)
    yield from names.clashes()
    yield from _defaults(records)
    for place, record in records:
        for rule in _RECORD_RULES:
            for path, message in rule(record):
                yield (*place, *path), message
        for key in ("superseded_by", "base_model"):
            target = record.get(key)
            if isinstance(target, str) and "/" not in target:
                yield from names.link((*place, key), target, record.get("id"))
    yield from _adapters(data, records)
    yield from _profile_links(data, names)


def _records(data: Any, part: str = "models") -> Iterator[tuple[Path, Record]]:
    listed = data.get(part) if isinstance(data, dict) else None
    for number, record in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(record, dict):
            yield (part, number), record


class _Names:
    """All ids and aliases of the file, and which record has each."""

    def __init__(self, records: list[tuple[Path, Record]]) -> None:
        self._records = records
        self._ids = {
            name: record.get("id")
            for _, record in records
            for name in (record.get("id"), *(alias for _, alias in values_at(record, "aliases")))
            if isinstance(name, str)
        }

    def clashes(self) -> Iterator[Finding]:
        """Give ids and aliases that stand twice, and ids that cannot be constants or share one."""
        taken: dict[str, str] = {}
        constants: dict[str, str] = dict.fromkeys(RESERVED, "a name of the module itself")
        for place, record in self._records:
            model_id = record.get("id")
            if not isinstance(model_id, str):
                continue
            if model_id in taken:
                yield (*place, "id"), f"expected an id of its own, got {shown(model_id)}, already {taken[model_id]}"
                continue
            taken[model_id] = "the id of another record"
            constant = constant_name(model_id)
            if not is_name(constant):
                yield (*place, "id"), f"expected an id that makes a Python name, got {shown(model_id)}"
            elif constant in constants:
                message = f"expected an id with a constant of its own, got `{constant}`, already {constants[constant]}"
                yield (*place, "id"), message
            constants.setdefault(constant, f"the constant of `{model_id}`")
        for place, record in self._records:
            for path, alias in values_at(record, "aliases"):
                if not isinstance(alias, str):
                    continue
                if alias in taken:
                    message = f"expected an alias of its own, got {shown(alias)}, already {taken[alias]}"
                    yield (*place, *path), message
                taken.setdefault(alias, f"an alias of `{record.get('id')}`")

    def id_of(self, name: object) -> object:
        """Give the id of the record that has this id or alias, or `None`."""
        return self._ids.get(name) if isinstance(name, str) else None

    def link(self, path: Path, target: str, own: object = None) -> Iterator[Finding]:
        """Check that `target` names a record, another one than `own`."""
        if target not in self._ids:
            close = get_close_matches(target, sorted(self._ids), n=1)
            hint = f": did you mean `{close[0]}`?" if close else ""
            yield path, f"expected the id or alias of a record, got {shown(target)}{hint}"
        elif self._ids[target] == own:
            yield path, f"expected another record, got {shown(target)} itself"


def _vocabulary_clashes(data: Any, findings: Mapping[Path, str]) -> Iterator[Finding]:
    """Give values that cannot be members of their enum; a value that is wrong in itself takes no name away."""
    records = [*_records(data), *_records(data, "adapters")]
    for vocabulary in VOCABULARIES:
        found = (
            ((*place, *inner), value)
            for place, record in records
            for path in vocabulary.paths
            for inner, value in values_at(record, path)
        )
        yield from _member_clashes(vocabulary.enum, found, findings)
    yield from _member_clashes(ROLE.enum, ((path, path[-1]) for path, _ in _roles(data)), findings)


def _member_clashes(enum: str, values: Iterable[tuple[Path, Any]], findings: Mapping[Path, str]) -> Iterator[Finding]:
    members: dict[str, str] = {}
    for path, value in values:
        if not isinstance(value, str) or not value or _is_known(path, findings):
            continue
        member = member_name(enum, value)
        if not is_name(member):
            yield path, f"expected a value that makes a Python name, got {shown(value)}"
        elif members.setdefault(member, value) != value:
            message = (
                f"expected a value with a member of its own in `{enum}`, got {shown(value)}: "
                f"`{member}` is already {shown(members[member])}"
            )
            yield path, message


def _defaults(records: list[tuple[Path, Record]]) -> Iterator[Finding]:
    chat = [(place, record) for place, record in records if "file" in record]
    marked = [place for place, record in chat if record.get("default") is True]
    if chat and not marked:
        yield (*chat[0][0], "default"), "expected one chat record with `default` true, got none: mark one of them"
    for place in marked[1:]:
        yield (*place, "default"), "expected one chat record with `default` true, got another one: keep one of them"


def _adapters(data: Any, records: list[tuple[Path, Record]]) -> Iterator[Finding]:
    """Give what is wrong with the LoRA adapters."""
    bases = sorted({name for _, record in records if "file" in record for name in _adapter_bases(record)})
    seen: set[str] = set()
    for place, adapter in _records(data, "adapters"):
        for path, message in chain(_licence(adapter), _adapter_digest(adapter)):
            yield (*place, *path), message
        name, base = _at(adapter, "id", str), _at(adapter, "base_model", str)
        if name is not None:
            if name in seen:
                yield (*place, "id"), f"expected an id of its own among the adapters, got {shown(name)} again"
            seen.add(name)
        if base is not None and base not in bases:
            close = get_close_matches(base, bases, n=1)
            hint = f": did you mean `{close[0]}`?" if close else ""
            wanted = "the id or alias of a chat record, or the repository in `base_model` of one"
            yield (*place, "base_model"), f"expected {wanted}, got {shown(base)}{hint}"


def _adapter_bases(record: Record) -> Iterator[str]:
    """Give the names by which an adapter can say that it is for this chat record."""
    repository = _at(record, "base_model", str)
    names = [record.get("id"), *(alias for _, alias in values_at(record, "aliases"))]
    names += [repository] if repository and "/" in repository else []
    yield from (name for name in names if isinstance(name, str))


def _adapter_digest(adapter: Record) -> Iterator[Finding]:
    beside, inside = _at(adapter, "sha256", str), _at(adapter, "file.sha256", str)
    if beside is not None and inside is not None and beside != inside:
        yield ("sha256",), f"expected {shown(inside)}, as `file.sha256`, got {shown(beside)}: state it once"


def _profile_links(data: Any, names: _Names) -> Iterator[Finding]:
    """Check that what is served from here is a record; other names may be known to the provider."""
    for path, role in _roles(data):
        if not isinstance(role, dict) or role.get("provider") != "local":
            continue
        if isinstance(role.get("name"), str):
            yield from names.link((*path, "name"), role["name"])
        own = names.id_of(role.get("name"))
        for place, name in values_at(role, "fallback"):
            if isinstance(name, str):
                yield from names.link((*path, *place), name, own)


def _doubts(data: Any) -> Iterator[Finding]:
    """Give what is suspect and does not stop the build."""
    for path, role in _roles(data):
        provider = role.get("provider") if isinstance(role, dict) else None
        if isinstance(provider, str) and provider not in PROVIDERS:
            message = f"expected {one_of(PROVIDERS)}, got {shown(provider)}: the role is skipped at run time"
            yield (*path, "provider"), message


def _roles(data: Any) -> Iterator[tuple[Path, Any]]:
    profiles = data.get("profiles") if isinstance(data, dict) else None
    for name, profile in profiles.items() if isinstance(profiles, dict) else ():
        roles = profile.get("models") if isinstance(profile, dict) else None
        for role, value in roles.items() if isinstance(roles, dict) else ():
            yield ("profiles", name, "models", role), value


# Rules about one record: from the record to what is wrong at which place in it.


def _projection(record: Record) -> Iterator[Finding]:
    has = _at(record, "architecture.has_projection", bool)
    dims = _at(record, "architecture.projection_dims", int)
    embedding_dim = _at(record, "specs.embedding_dim", int)
    path = ("architecture", "projection_dims")
    if record.get("type") == "chat" or (embedding_dim is not None and embedding_dim < 1):
        return
    if has and dims is None:
        yield path, "expected the size of the projection, got null: `has_projection` is true"
    elif dims is not None and not has:
        yield path, f"expected null, got {dims}: `has_projection` is not true"
    elif dims is not None and embedding_dim is not None and dims != embedding_dim:
        yield path, f"expected {embedding_dim}, as `specs.embedding_dim`, got {dims}"


def _matryoshka(record: Record) -> Iterator[Finding]:
    dims = _at(record, "architecture.matryoshka_dims", list)
    stated = _at(record, "capabilities.matryoshka", bool)
    if stated is not None and stated != bool(dims):
        wanted = "true: `architecture.matryoshka_dims` has sizes" if dims else "false: there are no matryoshka_dims"
        yield ("capabilities", "matryoshka"), f"expected {wanted}, got {shown(stated)}"
    if not dims or not all(type(dim) is int for dim in dims):
        return
    path = ("architecture", "matryoshka_dims")
    if dims != sorted(dims):
        yield path, f"expected ascending sizes, got {dims}: write {sorted(dims)}"
    embedding_dim = _at(record, "specs.embedding_dim", int)
    if embedding_dim is not None and max(dims) > embedding_dim:
        yield path, f"expected sizes up to {embedding_dim}, as `specs.embedding_dim`, got {max(dims)}"


def _sparse_dimension(record: Record) -> Iterator[Finding]:
    dim, vocabulary = _at(record, "specs.embedding_dim", int), _at(record, "specs.vocab_size", int)
    if is_sparse(_at(record, "type", str) or "") and dim and vocabulary and dim != vocabulary:
        message = (
            f"expected {vocabulary}, the `vocab_size`, got {dim}: a sparse vector has one component for each entry"
        )
        yield ("specs", "embedding_dim"), message


def _sparse_vectors(record: Record) -> Iterator[Finding]:
    if is_sparse(_at(record, "type", str) or "") and _at(record, "capabilities.multi_vector", bool):
        message = "expected false, got true: a sparse model gives one vector a text"
        yield ("capabilities", "multi_vector"), message


def _licence(record: Record) -> Iterator[Finding]:
    text = _at(record, "license", str)
    if text and (message := _licence_fault(text)):
        yield ("license",), message


@cache
def _licence_fault(text: str) -> str:
    try:
        normal = canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return f"expected an SPDX licence expression, got {shown(text)}: a publisher's own is `LicenseRef-...`"
    return "" if normal == text else f"expected `{normal}`, got {shown(text)}"


def _languages(record: Record) -> Iterator[Finding]:
    for path, tag in values_at(record, "capabilities.languages"):
        if isinstance(tag, str) and tag and (message := _language_fault(tag)):
            yield path, message


@cache
def _language_fault(tag: str) -> str:
    if not langcodes.tag_is_valid(tag):
        return f"expected a BCP-47 language tag, got {shown(tag)}"
    normal = langcodes.standardize_tag(tag)
    return "" if normal == tag else f"expected `{normal}`, the normal form, got {shown(tag)}"


def _release_date(record: Record) -> Iterator[Finding]:
    text = _at(record, "release_date", str)
    if text is None:
        return
    try:
        date.fromisoformat(text + "-01-01"[len(text) - 4 :] if len(text) < 10 else text)
    except ValueError:
        yield ("release_date",), f"expected a date of the calendar, got {shown(text)}"


def _runtime_context(record: Record) -> Iterator[Finding]:
    wanted, most = _at(record, "runtime.context_length", int), _at(record, "specs.context_length", int)
    if wanted is not None and most is not None and wanted > most:
        path = ("runtime", "context_length")
        yield path, f"expected at most {most}, the model's `specs.context_length`, got {wanted}"


def _variants(record: Record) -> Iterator[Finding]:
    seen: set[str] = set()
    for path, name in values_at(record, "variants.*.id"):
        if isinstance(name, str):
            if name in seen:
                yield path, f"expected an id of its own among the variants, got {shown(name)} again"
            seen.add(name)


def _sources(record: Record) -> Iterator[Finding]:
    sources = record.get("sources")
    for field in sources if isinstance(sources, dict) else ():
        if next(values_at(record, field), None) is None:
            message = f"expected the path of a field of this record, got {shown(field)}: no such field here"
            yield ("sources", field), message


_RECORD_RULES: tuple[Callable[[Record], Iterator[Finding]], ...] = (
    _projection,
    _matryoshka,
    _sparse_dimension,
    _sparse_vectors,
    _licence,
    _languages,
    _release_date,
    _runtime_context,
    _variants,
    _sources,
)


def _at(record: Record, path: str, kind: type) -> Any:
    """Give the value at a path, or `None` where it is missing or not exactly of this kind."""
    value: Any = record
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value if type(value) is kind else None

"""What the page of one model shows: store, records and machine in, plain values for the template out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from registry.server.web.addresses import Asked, compare_address, model_address
from registry.server.web.facts import groups_of, pieces_of, repository_address
from registry.server.web.figures import count_text, license_text, size_text, type_text
from registry.server.web.model_memory import MemoryView, memory_of
from registry.server.web.snippets import Snippet, snippets_of, stored_snippets
from registry.server.web.views import STATES, marks_of, size_of

if TYPE_CHECKING:
    from registry.catalog import CatalogModel
    from registry.records import LoraAdapter, ModelFile, ModelInfo
    from registry.server.web.facts import Shown
    from registry.server.web.this_machine import Seen, Verdict

_MOST_RELATED = 24
_FILE_PATHS = ("file", "files", "variants", "adapters")


class Tile(NamedTuple):
    """A fact at a glance; an empty text is one that is not known."""

    label: str
    text: str
    state: str = ""


class Cited(NamedTuple):
    """A fact with the numbers of its sources."""

    shown: Shown
    sources: tuple[int, ...]


class Source(NamedTuple):
    """Where values were read.

    Attributes:
        number: What facts name it by, from 1.
        pieces: Its text, in pieces that are addresses of the web and pieces that are not.
        fields: Paths in models.json of the values that were read there.
    """

    number: int
    pieces: tuple[tuple[str, bool], ...]
    fields: tuple[str, ...]


class Facts(NamedTuple):
    """All facts of a model.

    Attributes:
        groups: Name of a group and its facts that are known.
        unknown: Name of a group and the labels of those that are not.
        sources: Where they were read.
        of_files: Numbers of the sources of its files.
    """

    groups: Mapping[str, tuple[Cited, ...]]
    unknown: Mapping[str, tuple[str, ...]]
    sources: tuple[Source, ...]
    of_files: tuple[int, ...]


class File(NamedTuple):
    """A file of the model."""

    name: str
    role: str
    size: str
    sha256: str
    href: str


class Related(NamedTuple):
    """Another model of the same line."""

    name: str
    title: str
    href: str
    quantization: str
    size: str
    here: bool


class ModelView(NamedTuple):
    """The page of one model.

    Attributes:
        kind: Its type as people read it.
        successor: Name and address of the model to use instead, if there is one.
        quantizations: The same weights in other precisions.
        siblings: Other models of the family.
        family_href: Address of the list of the family; empty where it has none.
        path: Where its files lie on this machine; empty where they do not.
        metadata: What the store has beside the facts: key, and text in pieces.
    """

    model: CatalogModel
    kind: str
    marks: tuple[tuple[str, str], ...]
    successor: tuple[str, str] | None
    hub_href: str
    compare_href: str
    tiles: tuple[Tile, ...]
    verdict: Verdict
    memory: MemoryView | None
    snippets: tuple[Snippet, ...]
    facts: Facts
    files: tuple[File, ...]
    quantizations: tuple[Related, ...]
    siblings: tuple[Related, ...]
    family_href: str
    path: str
    metadata: tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]


def model_view(
    model: CatalogModel,
    record: ModelInfo | None,
    *,
    sources: Mapping[str, Sequence[str]],
    family: Sequence[tuple[CatalogModel, ModelInfo | None]],
    seen: Seen,
    base_url: str,
    needs_key: bool,
) -> ModelView:
    """Put the page of a model together.

    Args:
        model: What the store keeps of it.
        record: Its record, if a registry has one.
        sources: Path of a field in models.json -> where its value was read.
        family: Models of the same family, with their records.
        seen: This machine.
        base_url: Where this server answers.
        needs_key: Whether a request that uses a model has to bring the key.
    """
    related = [(other, of) for other, of in family if other.name != model.name]
    verdict = seen.verdict(model, record)
    return ModelView(
        model=model,
        kind=type_text(model.type) or "",
        marks=marks_of(model, record, seen),
        successor=_successor(record),
        hub_href=repository_address(model.huggingface_id),
        compare_href=compare_address([model.name]),
        tiles=_tiles(model, verdict),
        verdict=verdict,
        memory=memory_of(record, seen.machine) if record is not None else None,
        snippets=_snippets(model, record, base_url, needs_key),
        facts=_facts(model, record, sources),
        files=tuple(_files(record)),
        quantizations=_related((one for one in related if _same_weights(record, one[1])), seen),
        siblings=_related((one for one in related if not _same_weights(record, one[1])), seen)[:_MOST_RELATED],
        family_href=Asked().address(family=(model.model_family,)) if model.model_family else "",
        path=str(seen.path(record) or ""),
        metadata=tuple(
            (key, tuple(pieces_of(text))) for key, text in sorted(model.metadata.items()) if not hasattr(record, key)
        ),
    )


def cited_sources(sources: Mapping[str, Sequence[str]]) -> tuple[Source, ...]:
    """Number the sources in the order in which fields name them, each once."""
    fields: dict[str, list[str]] = {}
    for path, texts in sources.items():
        for text in texts:
            fields.setdefault(text, []).append(path)
    return tuple(
        Source(number, tuple(pieces_of(text)), tuple(paths)) for number, (text, paths) in enumerate(fields.items(), 1)
    )


def _facts(model: CatalogModel, record: ModelInfo | None, sources: Mapping[str, Sequence[str]]) -> Facts:
    cited = cited_sources(sources)
    shown = groups_of(model, record)
    known = {
        name: tuple(Cited(one, _numbers(one.path.split(), cited)) for one in facts if one.texts)
        for name, facts in shown.items()
    }
    unknown = {name: tuple(_in_sentence(one.label) for one in facts if not one.texts) for name, facts in shown.items()}
    return Facts(known, unknown, cited, _numbers(_FILE_PATHS, cited))


def _numbers(paths: Sequence[str], sources: Iterable[Source]) -> tuple[int, ...]:
    """Give the numbers of the sources of some fields, and of what is in them."""
    inside = tuple(f"{path}." for path in paths)
    return tuple(
        source.number
        for source in sources
        if any(field in paths or field.startswith(inside) for field in source.fields)
    )


def _tiles(model: CatalogModel, verdict: Verdict) -> tuple[Tile, ...]:
    needed = "" if verdict.need_bytes is None else size_text(verdict.need_bytes)
    found = [
        Tile("Parameters", size_of(model) or ""),
        Tile("Context", "" if model.context_length is None else f"{count_text(model.context_length)} tokens"),
        Tile("Embedding", "" if model.embedding_dim is None else f"{count_text(model.embedding_dim)} dim"),
        Tile("Quantization", model.quantization or ""),
        Tile("Memory needed", needed),
        Tile("This machine", "" if verdict.state == "unknown" else STATES[verdict.state], verdict.state),
        Tile("Licence", "" if model.license is None else license_text(model.license)),
    ]
    optional = {"Embedding", "Quantization"}
    return tuple(tile for tile in found if tile.text or tile.label not in optional)


def _in_sentence(label: str) -> str:
    """Write a label in the middle of a sentence: `layers`, but `KV heads`."""
    return label if label[:2].isupper() else label[:1].lower() + label[1:]


def _successor(record: ModelInfo | None) -> tuple[str, str] | None:
    if record is None or record.superseded_by is None:
        return None
    return record.superseded_by, model_address(record.superseded_by)


def _snippets(model: CatalogModel, record: ModelInfo | None, base_url: str, needs_key: bool) -> tuple[Snippet, ...]:
    if record is None:
        return stored_snippets(model.name, base_url)
    return snippets_of(record, model.source, base_url, needs_key=needs_key)


def _files(record: ModelInfo | None) -> Iterable[File]:
    own: Sequence[ModelFile] = [file for file in (getattr(record, "file", None),) if file is not None]
    for file in (*own, *getattr(record, "files", ())):
        yield _file(file, file.role)
    for variant in getattr(record, "variants", ()):
        yield _file(variant.file, f"{variant.quantization} ({variant.file.role})")
    adapters: Sequence[LoraAdapter] = getattr(record, "adapters", ())
    for adapter in adapters:
        yield _file(adapter.file, f"LoRA adapter {adapter.id}")


def _file(file: ModelFile, role: str) -> File:
    size = "" if file.size_bytes is None else size_text(file.size_bytes)
    return File(file.name, role, size, file.sha256 or "", file.url or "")


def _same_weights(record: ModelInfo | None, other: ModelInfo | None) -> bool:
    base = getattr(record, "base_model", None)
    return base is not None and getattr(other, "base_model", None) == base


def _related(models: Iterable[tuple[CatalogModel, ModelInfo | None]], seen: Seen) -> tuple[Related, ...]:
    return tuple(
        Related(
            model.name,
            model.display_name,
            model_address(model.name),
            model.quantization or "",
            "" if model.file_size_bytes is None else size_text(model.file_size_bytes),
            seen.path(record) is not None,
        )
        for model, record in models
    )

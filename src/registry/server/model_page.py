"""What the page of one model shows: store, records and machine in, plain values for the template out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from registry.errors import RegistryError
from registry.hardware.requirement import estimate_with, without_gpus
from registry.records import ChatModel
from registry.server.addresses import Asked, compare_address, model_address
from registry.server.facts import groups_of, pieces_of, repository_address
from registry.server.figures import count_text, license_text, size_text, type_text
from registry.server.memory_chart import Bar, Mark, bar_of, drawn_marks, memory_svg
from registry.server.snippets import Snippet, snippets_of, stored_snippets
from registry.server.views import STATES, marks_of, size_of

if TYPE_CHECKING:
    from registry.catalog import CatalogModel
    from registry.hardware import Estimate, Machine
    from registry.records import LoraAdapter, ModelFile, ModelInfo
    from registry.server.facts import Shown
    from registry.server.this_machine import Seen, Verdict

_MOST_BARS = 8
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


class MemoryView(NamedTuple):
    """Memory by context length.

    Attributes:
        bars: What the model takes; empty where it cannot be told.
        svg: The same, drawn.
        beyond: What this machine has that is far beyond the drawing, in words.
        method: How it was found.
        notes: What that takes for granted.
        missing: What would have to be known, where nothing can be told.
        text_length: True where the context is the length of a text, not that of a conversation.
    """

    bars: tuple[Bar, ...]
    svg: str
    beyond: tuple[str, ...]
    method: str
    notes: tuple[str, ...]
    missing: tuple[str, ...]
    text_length: bool


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
        groups: Name of a group and its facts that are known.
        unknown: Name of a group and the labels of those that are not.
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
    groups: Mapping[str, tuple[Cited, ...]]
    unknown: Mapping[str, tuple[str, ...]]
    sources: tuple[Source, ...]
    files: tuple[File, ...]
    file_sources: tuple[int, ...]
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
    cited = cited_sources(sources)
    facts = groups_of(model, record)
    related = [(other, of) for other, of in family if other.name != model.name]
    verdict = seen.verdict(model, record)
    return ModelView(
        model=model,
        kind=type_text(model.type) or "",
        marks=marks_of(record, seen),
        successor=_successor(record),
        hub_href=repository_address(model.huggingface_id),
        compare_href=compare_address([model.name]),
        tiles=_tiles(model, verdict),
        verdict=verdict,
        memory=memory_of(record, seen.machine) if record is not None else None,
        snippets=_snippets(model, record, base_url, needs_key),
        groups={
            name: tuple(Cited(one, _numbers(one.path.split(), cited)) for one in shown if one.texts)
            for name, shown in facts.items()
        },
        unknown={name: tuple(one.label for one in shown if not one.texts) for name, shown in facts.items()},
        sources=cited,
        files=tuple(_files(record)),
        file_sources=_numbers(_FILE_PATHS, cited),
        quantizations=_related((one for one in related if _same_weights(record, one[1])), seen),
        siblings=_related((one for one in related if not _same_weights(record, one[1])), seen)[:_MOST_RELATED],
        family_href=Asked().address(family=(model.model_family,)) if model.model_family else "",
        path=str(seen.path(record) or ""),
        metadata=tuple(
            (key, tuple(pieces_of(text))) for key, text in sorted(model.metadata.items()) if not hasattr(record, key)
        ),
    )


def memory_of(record: ModelInfo, machine: Machine) -> MemoryView:
    """Estimate the memory of a model by context, in main memory, and draw it beside what this machine has."""
    chat = isinstance(record, ChatModel)
    found = [estimate for context in contexts_of(record) if (estimate := _estimate(record, context, machine))]
    known = [estimate for estimate in found if estimate.total_bytes is not None]
    if not known:
        missing = found[0].missing if found else ("what its file says",)
        return MemoryView((), "", (), "", (), missing, not chat)
    bars = tuple(map(bar_of, known))
    marks = marks_of_machine(machine)
    title = f"Memory that {record.name} takes, by {'context' if chat else 'text'} length"
    beyond = tuple(map(str, drawn_marks(bars, marks)[1]))
    drawing = memory_svg(bars, marks, title=title)
    return MemoryView(bars, drawing, beyond, known[-1].method, known[-1].notes, (), not chat)


def contexts_of(record: ModelInfo) -> Sequence[int | None]:
    """Give the contexts to draw: those that double, up to the longest that the model holds."""
    longest = record.context_length
    if longest is None:
        return [None]
    shortest = 2048 if isinstance(record, ChatModel) else 128 if longest <= 1024 else 512
    doubled = [shortest << step for step in range(24) if shortest << step < longest]
    return [*doubled[-_MOST_BARS + 1 :], longest]


def marks_of_machine(machine: Machine) -> tuple[Mark, ...]:
    """Give what a machine has, as lines to draw: main memory, and GPUs with memory of their own."""
    found = [("available", "available now", machine.ram_available_bytes), ("total", "memory", machine.ram_total_bytes)]
    found += [("gpu", gpu.name, gpu.memory_total_bytes) for gpu in machine.gpus if not gpu.unified]
    return tuple(Mark(kind, label, size) for kind, label, size in found if size is not None)


def cited_sources(sources: Mapping[str, Sequence[str]]) -> tuple[Source, ...]:
    """Number the sources in the order in which fields name them, each once."""
    fields: dict[str, list[str]] = {}
    for path, texts in sources.items():
        for text in texts:
            fields.setdefault(text, []).append(path)
    return tuple(
        Source(number, tuple(pieces_of(text)), tuple(paths)) for number, (text, paths) in enumerate(fields.items(), 1)
    )


def _numbers(paths: Sequence[str], sources: Iterable[Source]) -> tuple[int, ...]:
    """Give the numbers of the sources of some fields, and of what is in them."""
    inside = tuple(f"{path}." for path in paths)
    return tuple(
        source.number
        for source in sources
        if any(field in paths or field.startswith(inside) for field in source.fields)
    )


def _estimate(record: ModelInfo, context: int | None, machine: Machine) -> Estimate | None:
    try:
        return estimate_with(record, context, machine=without_gpus(machine))
    except RegistryError:  # a package that reads headers is missing, or a number of the record cannot be
        return None


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

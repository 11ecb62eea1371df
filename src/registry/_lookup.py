"""The mechanics under a generated registry: rows become records on first touch, queries read compiled indexes.

A generated module holds constants only and hands them to one `CompiledRegistry`, whose methods are its functions. What
the names and numbers in the constants mean is `FORMAT`; a module of another format is refused on import.
"""

from __future__ import annotations

import sys
from _collections_abc import Mapping  # what `collections.abc` gives, without importing `collections`
from bisect import bisect_right
from itertools import chain, repeat

from registry._frozen import FrozenDict, from_row
from registry.errors import GeneratedFormatError, NoDefaultModelError
from registry.queries import ModelRegistry

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from enum import StrEnum
    from typing import Any, Final, TypeAlias

    # Records are not named here: this module stands below them.
    Record: TypeAlias = Any
    Parts: TypeAlias = Mapping[str, tuple[Callable[..., object], tuple[str, ...]]]

FORMAT: Final = 2  # 2: the table PROFILES
OLDEST_FORMAT: Final = 1

# Names of a generated module that are neither functions nor enums nor constants of records.
OWN_NAMES: Final = ("DEFAULT_PROFILE", "ModelId", "ProfileName")


class Inline:
    """Rows and tables that stand in the generated module itself."""

    def __init__(self, rows: tuple[tuple[Any, ...], ...], tables: Mapping[str, Any]) -> None:
        self.row = rows.__getitem__
        self.table = tables.__getitem__


class Sharded:
    """Rows and tables in the modules of a package beside the generated one, each imported when it is needed."""

    def __init__(self, package: str, rows_per_module: int) -> None:
        self._package = package
        self._size = rows_per_module

    def row(self, number: int) -> tuple[Any, ...]:
        shard, offset = divmod(number, self._size)
        rows: tuple[tuple[Any, ...], ...] = self._import(f"rows_{shard:04d}").ROWS
        return rows[offset]

    def table(self, name: str) -> Any:
        return getattr(self._import(name.lower()), name)

    def _import(self, name: str) -> Any:
        module = f"{self._package}.{name}"
        __import__(module)
        return sys.modules[module]


class _Row:
    """One row: where a record finds its values when they are first touched."""

    __slots__ = ("_columns", "_number", "_registry")

    def __init__(self, registry: CompiledRegistry, columns: Mapping[str, int], number: int) -> None:
        self._registry = registry
        self._columns = columns
        self._number = number

    def value(self, field: str, default: Any) -> Any:
        column = self._columns.get(field)
        raw = None if column is None else self._registry.storage.row(self._number)[column]
        if raw is None:  # the data are silent, or the field is younger than the generated module
            return default
        return self._registry.decode(field, raw)


class CompiledRegistry(ModelRegistry["Record"]):
    """All records of one generated module."""

    def __init__(
        self,
        module: str,
        *,
        format: int,
        kinds: tuple[tuple[type[Record], tuple[str, ...]], ...],
        parts: Parts,
        vocabularies: Mapping[str, str],
        ids: tuple[str, ...],
        aliases: Mapping[str, int],
        default: int | None,
        kind_of: str,
        storage: Inline | Sharded,
    ) -> None:
        """Take what the generated `module` knows.

        Args:
            module: Name of the generated module; its enums pickle under it.
            format: Format number it was generated for.
            kinds: Record class and column names of each kind of row.
            parts: Field -> class and field names of the value objects in it.
            vocabularies: Field -> name of the enum its strings belong to.
            ids: Id of every row.
            aliases: Alias -> row number.
            default: Row number of the default chat record.
            kind_of: Number of the kind of every row, one digit each: a record is made without a look at its row.
            storage: Where rows and the tables `NAMES`, `ENUMS`, `INDEX` and `PROFILES` are.
        """
        if not OLDEST_FORMAT <= format <= FORMAT:
            raise GeneratedFormatError(module, FORMAT, format)
        self.storage = storage
        self._name = module
        self._format = format
        self._kinds = tuple((cls, {name: column for column, name in enumerate(columns)}) for cls, columns in kinds)
        self._parts = parts
        self._vocabularies = vocabularies
        self._ids = ids
        self._aliases = aliases
        self._default = default
        self._kind_of = kind_of
        self._rows: dict[str, int] = {}
        self._made: dict[str, Record] = {}
        self._enums: dict[str, type[StrEnum]] = {}
        self._dims: tuple[int, ...] = ()
        self._profiles: FrozenDict[str, Any]
        self._found: dict[tuple[str, object], tuple[Record, ...]] = {}

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return _registry_of, (self._name,)  # a copy is the registry itself, in another process too

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def get_model(self, model_id: str) -> Record:
        """Give the record with this id or alias; the same object every time.

        Raises:
            ModelNotFoundError: There is none; the error names close matches.
        """
        try:
            return self._made[model_id]
        except (KeyError, TypeError):
            pass  # not from in here: the error of a miss would drag this one along
        return self._made.setdefault(model_id, super().get_model(model_id))

    def find_model(self, text: str) -> Record | None:
        """Give the record with this id or alias, or `None`."""
        number = self._number(text)
        return None if number is None else self._record(number)

    def get_default_model(self) -> Record:
        """Give the chat record to use where nobody chose one.

        Raises:
            NoDefaultModelError: The registry has no chat records.
        """
        if self._default is None:
            raise NoDefaultModelError(self._name)
        return self._record(self._default)

    def get_sources(self, model: str | Record) -> Mapping[str, tuple[str, ...]]:
        """Give where the values of a record were read: path of the field in models.json -> sources.

        Imports the module that holds them, larger than the registry itself.

        Raises:
            ModelNotFoundError: No record has this id or alias.
        """
        model_id: str = self.get_model(model if isinstance(model, str) else model.id).id
        from types import MappingProxyType

        module = f"{self._name}_sources"
        __import__(module)
        sources: Mapping[str, Mapping[str, tuple[str, ...]]] = sys.modules[module].SOURCES
        return MappingProxyType(sources.get(model_id, {}))

    def models_by_max_embedding_dim(self, max_embedding_dim: int) -> tuple[Record, ...]:
        """Give the embedding models whose vectors have at most this many components."""
        # Every limit between two sizes of the registry has the same answer: cached under the smaller one.
        limit = self._dims_up_to(max_embedding_dim)
        key = ("max_embedding_dim", limit)
        if key not in self._found:
            self._found[key] = self._records(self._rows_with_dims(limit))
        return self._found[key]

    @property
    def profiles(self) -> Mapping[str, Any]:
        """The profiles by name, in the order of their names; read-only."""
        if "_profiles" not in vars(self):
            table = self.storage.table("PROFILES") if self._format > 1 else {}
            made = FrozenDict({name: self._profile(name, *row) for name, row in table.items()})
            # setdefault: two threads that touch the profiles at the same time get the same ones.
            vars(self).setdefault("_profiles", made)
        return self._profiles

    # What the generated module resolves on first touch

    def attribute(self, name: str) -> Any:
        """Give the constant, enum or alias `name` of the generated module, and keep it there.

        Raises:
            AttributeError: The module has no such name.
        """
        if name == "__all__":
            return self.names()
        if name.startswith("_"):  # Python asks for `__path__` and its like; that must not import tables
            raise AttributeError(f"module {self._name!r} has no attribute {name!r}")
        if name in self.storage.table("ENUMS"):
            return self._enum(name)
        value = self._own(name) if name in OWN_NAMES else self._constant(name)
        vars(sys.modules[self._name])[name] = value
        return value

    def names(self) -> list[str]:
        """Give every public name of the generated module, those not yet touched included."""
        present = [name for name in vars(sys.modules[self._name]) if not name.startswith("_")]
        return sorted({*present, *OWN_NAMES, *self.storage.table("ENUMS"), *self.storage.table("NAMES")})

    def _own(self, name: str) -> Any:
        if name == "DEFAULT_PROFILE":
            return self.default_profile
        from typing import Literal, Never

        names = (*self._ids, *self._aliases) if name == "ModelId" else tuple(self.profiles)
        return Literal[names] if names else Never

    def _constant(self, name: str) -> Record:
        try:
            return self._record(self.storage.table("NAMES").index(name))
        except ValueError:
            raise AttributeError(f"module {self._name!r} has no attribute {name!r}") from None

    def decode(self, field: str, raw: Any) -> Any:
        """Turn the raw value of a row into what the record's `field` holds."""
        if field in self._parts:
            if raw == () or isinstance(raw[0], tuple):
                return tuple(map(self._part, repeat(field), raw))
            return self._part(field, raw)
        if field in self._vocabularies:
            members = self._enum(self._vocabularies[field])
            return tuple(map(members, raw)) if isinstance(raw, tuple) else members(raw)
        return FrozenDict(raw) if isinstance(raw, dict) else raw

    def _part(self, field: str, raw: tuple[Any, ...], **known: object) -> Any:
        cls, names = self._parts[field]
        stated = ((name, value) for name, value in zip(names, raw, strict=True) if value is not None)
        return cls(**known, **{name: self.decode(name, value) for name, value in stated})

    def _profile(self, name: str, description: str | None, rows: Mapping[str, tuple[Any, ...]]) -> Any:
        roles = {role: self._enum("Role")(role) for role in rows}
        models = {roles[role]: self._part("role_model", row, role=roles[role]) for role, row in rows.items()}
        return self._part("profile", (description,), name=name, models=FrozenDict(models))

    def _number(self, model_id: str) -> int | None:
        if not isinstance(model_id, str):
            raise TypeError(f"expected the id of a model as a string, got {model_id!r}")
        if not self._rows:
            self._rows = {**dict(zip(self._ids, range(len(self._ids)), strict=True)), **self._aliases}
        return self._rows.get(model_id)

    def _record(self, number: int) -> Record:
        model_id = self._ids[number]
        made = self._made.get(model_id)
        if made is None:
            cls, columns = self._kinds[int(self._kind_of[number])]
            # setdefault: two threads that touch one record at the same time get one object.
            made = self._made.setdefault(model_id, from_row(cls, _Row(self, columns, number), id=model_id))
        return made

    def _records(self, numbers: Iterable[int]) -> tuple[Record, ...]:
        return tuple(map(self._record, sorted(numbers)))

    def _find(self, conditions: dict[str, object], max_embedding_dim: int | None) -> tuple[Record, ...]:
        found: list[Iterable[int]] = [self._index(field).get(value, ()) for field, value in conditions.items()]
        if max_embedding_dim is not None:
            found.append(self._rows_with_dims(self._dims_up_to(max_embedding_dim)))
        if not found:
            return self._records(range(len(self)))
        return self._records(set(found[0]).intersection(*found[1:]))

    def _names(self) -> Iterable[tuple[str, str]]:
        return chain(zip(self._ids, self._ids, strict=True), ((a, self._ids[n]) for a, n in self._aliases.items()))

    def _select(self, field: str, value: object) -> tuple[Record, ...]:
        key = (field, value)
        try:
            return self._found[key]
        except KeyError:
            found = self._records(self._index(field).get(value, ()))
            if found:  # what is not there is not kept: values may come from outside
                self._found[key] = found
            return found

    def _dims_up_to(self, max_embedding_dim: int) -> int:
        """Count the embedding sizes of the registry that are not above this one."""
        if not self._dims:
            self._dims = tuple(self._index("embedding_dim"))  # emitted in ascending order
        return bisect_right(self._dims, max_embedding_dim)

    def _rows_with_dims(self, count: int) -> list[int]:
        """Give the numbers of the rows with one of the `count` smallest embedding sizes."""
        rows = self._index("embedding_dim")
        return [number for dim in self._dims[:count] for number in rows[dim]]

    def _index(self, field: str) -> Any:
        return self.storage.table("INDEX")[field]

    def _enum(self, name: str) -> type[StrEnum]:
        if name not in self._enums:
            from enum import StrEnum

            doc, members = self.storage.table("ENUMS")[name]
            made: Any = StrEnum(name, members, module=self._name)  # type: ignore[misc] # the name is data
            made.__doc__ = doc
            vars(sys.modules[self._name])[name] = self._enums.setdefault(name, made)
        return self._enums[name]


def _registry_of(module: str) -> Any:
    __import__(module)
    return sys.modules[module].MODEL_REGISTRY

"""What every registry answers: one record by name, several by a condition; and several registries joined into one."""

from __future__ import annotations

from _collections_abc import Mapping  # what `collections.abc` gives, without importing `collections`
from itertools import chain

from registry._frozen import FrozenDict
from registry.errors import ModelNotFoundError, NameCollisionError, NoDefaultModelError, ProfileNotFoundError

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Generic, TypeVar, overload

    from registry.records import Profile

    T = TypeVar("T")

    # What a registry holds is its own business: the records of models are not named here.
    R_co = TypeVar("R_co", covariant=True)

    class _Records(Mapping[str, R_co], Generic[R_co]):
        """Records by id."""
else:
    # At run time `_Records[R_co]` is just the mapping: making a class generic there would import `typing`.
    R_co = object
    _Records = Mapping


class ModelRegistry(_Records[R_co]):
    """Records by id, and the queries on them.

    A mapping: iteration gives ids in registry order. Aliases are found as ids are, but not iterated. Queries give
    tuples in registry order; a value that no record has gives the empty tuple.
    """

    # One record

    def get_model(self, model_id: str) -> R_co:
        """Give the record with this id or alias; the same object every time.

        Raises:
            ModelNotFoundError: There is none; the error names close matches.
        """
        found = self.find_model(model_id)
        if found is None:
            raise ModelNotFoundError(model_id, self._close_matches(model_id), self._name)
        return found

    def lookup_model(self, text: str) -> R_co:
        """Give the record with an id or alias that is known at run time only.

        Raises:
            ModelNotFoundError: There is none; the error names close matches.
        """
        return self.get_model(text)

    def find_model(self, text: str) -> R_co | None:
        """Give the record with this id or alias, or `None`."""
        raise NotImplementedError

    def get_default_model(self) -> R_co:
        """Give the chat record to use where nobody chose one.

        Raises:
            NoDefaultModelError: The registry has no chat records.
        """
        raise NotImplementedError

    def get_sources(self, model: str | Any) -> Mapping[str, tuple[str, ...]]:
        """Give where the values of a record were read: path of the field in models.json -> sources.

        Imports the module that holds them, larger than the registry itself.

        Args:
            model: A record, or an id or alias.

        Raises:
            ModelNotFoundError: No record has this id or alias.
        """
        raise NotImplementedError

    # Several records

    def models_by_type(self, type: str) -> tuple[R_co, ...]:
        """Give the models of this type."""
        return self._select("type", type)

    def models_by_organization(self, organization: str) -> tuple[R_co, ...]:
        """Give the models of this publisher."""
        return self._select("organization", organization)

    def models_by_family(self, family: str) -> tuple[R_co, ...]:
        """Give the models of this line of models."""
        return self._select("family", family)

    def models_by_language(self, language: str) -> tuple[R_co, ...]:
        """Give the models known to be trained for this language, a BCP-47 tag."""
        return self._select("language", language)

    def models_by_license(self, license: str) -> tuple[R_co, ...]:
        """Give the models under this licence expression."""
        return self._select("license", license)

    def models_by_capability(self, capability: str) -> tuple[R_co, ...]:
        """Give the models that can be used for this task."""
        return self._select("capability", capability)

    def models_by_tag(self, tag: str) -> tuple[R_co, ...]:
        """Give the models with this tag."""
        return self._select("tag", tag)

    def models_by_quantization(self, quantization: str) -> tuple[R_co, ...]:
        """Give the models offered in this storage format."""
        return self._select("quantization", quantization)

    def models_with_matryoshka(self) -> tuple[R_co, ...]:
        """Give the embedding models whose vectors may be cut to smaller sizes."""
        return self._select("matryoshka", True)

    def models_by_max_embedding_dim(self, max_embedding_dim: int) -> tuple[R_co, ...]:
        """Give the embedding models whose vectors have at most this many components."""
        raise NotImplementedError

    def find_models(
        self,
        *,
        type: str | None = None,
        organization: str | None = None,
        family: str | None = None,
        language: str | None = None,
        license: str | None = None,
        capability: str | None = None,
        tag: str | None = None,
        quantization: str | None = None,
        max_embedding_dim: int | None = None,
        matryoshka: bool | None = None,
    ) -> tuple[R_co, ...]:
        """Give the models that meet every condition given; all models without one."""
        fields = {
            "type": type,
            "organization": organization,
            "family": family,
            "language": language,
            "license": license,
            "capability": capability,
            "tag": tag,
            "quantization": quantization,
            "matryoshka": matryoshka,
        }
        return self._find({name: value for name, value in fields.items() if value is not None}, max_embedding_dim)

    # Profiles

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles by name, in the order of their names; read-only."""
        raise NotImplementedError

    @property
    def default_profile(self) -> Profile | None:
        """The profile named `default`; `None` where there is none."""
        return self.profiles.get("default")

    def get_profile(self, name: str) -> Profile:
        """Give the profile of this name; the same object every time.

        Raises:
            ProfileNotFoundError: There is none; the error names close matches.
        """
        if not isinstance(name, str):
            raise TypeError(f"expected the name of a profile as a string, got {name!r}")
        found = self.profiles.get(name)
        if found is None:
            from difflib import get_close_matches

            close = get_close_matches(name.lower(), self.profiles, n=3)
            raise ProfileNotFoundError(name, tuple(close), tuple(self.profiles), self._name)
        return found

    def list_profiles(self) -> tuple[Profile, ...]:
        """Give all profiles, in the order of their names."""
        return tuple(self.profiles.values())

    # Mapping

    def __getitem__(self, model_id: str) -> R_co:
        return self.get_model(model_id)

    def __contains__(self, model_id: object) -> bool:
        return isinstance(model_id, str) and self.find_model(model_id) is not None

    if TYPE_CHECKING:

        @overload
        def get(self, model_id: str, /) -> R_co | None: ...
        @overload
        def get(self, model_id: str, /, default: R_co | T) -> R_co | T: ...

    def get(self, model_id: str, /, default: Any = None) -> Any:
        """Give the record with this id or alias, or `default`."""
        found = self.find_model(model_id)
        return default if found is None else found

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<registry of {len(self)} models: {self._name}>"

    # What a kind of registry supplies

    _name: str

    def _select(self, field: str, value: object) -> tuple[R_co, ...]:
        """Give the records whose indexed `field` has this value."""
        raise NotImplementedError

    def _find(self, conditions: dict[str, object], max_embedding_dim: int | None) -> tuple[R_co, ...]:
        """Give the records that meet all conditions."""
        raise NotImplementedError

    def _names(self) -> Iterable[tuple[str, str]]:
        """Give every id and alias, each with the id it leads to."""
        raise NotImplementedError

    def _close_matches(self, model_id: str) -> tuple[str, ...]:
        from difflib import get_close_matches

        wanted = model_id.lower().rpartition("/")[2].replace(" ", "-")
        ids = dict(self._names())
        closest: dict[str, str] = {}  # one name a record
        for match in get_close_matches(wanted, ids, n=9):
            closest.setdefault(ids[match], match)
        return tuple(closest.values())[:3]


class CombinedRegistry(ModelRegistry[R_co]):
    """Several registries that answer as one; see `combine`."""

    def __init__(self, registries: tuple[ModelRegistry[R_co], ...]) -> None:
        self._registries = registries
        self._name = " + ".join(registry._name for registry in registries)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._registries)

    def __len__(self) -> int:
        return sum(map(len, self._registries))

    def find_model(self, text: str) -> R_co | None:
        """Give the record that one of the registries has under this name, or `None`."""
        found = (registry.find_model(text) for registry in self._registries)
        return next((record for record in found if record is not None), None)

    def get_default_model(self) -> R_co:
        """Give the default of the first registry that has one.

        Raises:
            NoDefaultModelError: None of them has chat records.
        """
        for registry in self._registries:
            try:
                return registry.get_default_model()
            except NoDefaultModelError:
                continue
        raise NoDefaultModelError(self._name)

    def get_sources(self, model: str | Any) -> Mapping[str, tuple[str, ...]]:
        """Give where the values of a record were read, from the registry that has it.

        Raises:
            ModelNotFoundError: No record has this id or alias.
        """
        model_id = model if isinstance(model, str) else model.id
        home = next((registry for registry in self._registries if model_id in registry), self._registries[0])
        return home.get_sources(model_id)

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles of all registries by name, in the order of their names; of one name, that of the first."""
        found = {
            name: profile for registry in reversed(self._registries) for name, profile in registry.profiles.items()
        }
        return FrozenDict({name: found[name] for name in sorted(found)})

    def models_by_max_embedding_dim(self, max_embedding_dim: int) -> tuple[R_co, ...]:
        """Give the embedding models whose vectors have at most this many components, registry by registry."""
        return self._join(registry.models_by_max_embedding_dim(max_embedding_dim) for registry in self._registries)

    def _select(self, field: str, value: object) -> tuple[R_co, ...]:
        return self._join(registry._select(field, value) for registry in self._registries)

    def _find(self, conditions: dict[str, object], max_embedding_dim: int | None) -> tuple[R_co, ...]:
        return self._join(registry._find(conditions, max_embedding_dim) for registry in self._registries)

    def _names(self) -> Iterable[tuple[str, str]]:
        return chain.from_iterable(registry._names() for registry in self._registries)

    @staticmethod
    def _join(found: Iterable[tuple[R_co, ...]]) -> tuple[R_co, ...]:
        return tuple(chain.from_iterable(found))


def combine(first: ModelRegistry[R_co], *more: ModelRegistry[R_co]) -> ModelRegistry[R_co]:
    """Join registries into one that answers for all, in the order given.

    Args:
        first: A registry: `MODEL_REGISTRY` of this package or of a generated module of your own.
        more: Others.

    Raises:
        NameCollisionError: Two of them have the same id or alias.

    Example:
        >>> from registry import MODEL_REGISTRY, combine
        >>> combine(MODEL_REGISTRY).get_model("colbert-v2").embedding_dim
        128
    """
    registries = (first, *more)
    homes: dict[str, str] = {}
    for registry in registries:
        for name, _ in registry._names():
            if name in homes:
                raise NameCollisionError(name, homes[name], registry._name)
        homes |= dict.fromkeys((name for name, _ in registry._names()), registry._name)
    return CombinedRegistry(registries)

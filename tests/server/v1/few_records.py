"""A registry of a few records, made on the spot."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from registry.errors import NoDefaultModelError
from registry.queries import ModelRegistry
from registry.records import ModelInfo, Profile


class FewRecords(ModelRegistry[Any]):
    """Records as a registry, in the order given."""

    def __init__(self, *records: ModelInfo, profiles: Iterable[Profile] = ()) -> None:
        self._records = {record.id: record for record in records}
        self._profiles = {profile.name: profile for profile in profiles}
        self._name = "few"

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def find_model(self, text: str) -> Any:
        found = self._records.get(text)
        return found or next((record for record in self._records.values() if text in record.aliases), None)

    def get_default_model(self) -> Any:
        raise NoDefaultModelError(self._name)

    def get_sources(self, _: Any) -> Mapping[str, tuple[str, ...]]:
        return {}

    @property
    def profiles(self) -> Mapping[str, Profile]:
        return self._profiles

    def _select(self, field: str, value: object) -> tuple[Any, ...]:
        raise NotImplementedError

    def _find(self, conditions: dict[str, object], max_embedding_dim: int | None) -> tuple[Any, ...]:
        raise NotImplementedError

    def _names(self) -> Iterable[tuple[str, str]]:
        for record in self._records.values():
            yield from ((name, record.id) for name in (record.id, *record.aliases))

"""A registry of a few records, profiles for it, and a provider that serves nothing: for tests of who is chosen."""

from collections.abc import Iterable, Mapping
from typing import Any

from registry.profiles.protocol import Availability
from registry.queries import ModelRegistry
from registry.records import ChatModel, DenseModel, ModelFile, Profile, RoleModel

_FACTS: dict[str, Any] = {"name": "Small", "huggingface_id": "org/small", "organization": "org", "description": "."}


def chat_record(id: str, **changes: Any) -> ChatModel:
    made = {"model_type": "chat", "file": ModelFile(f"{id}.gguf", "gguf"), "quantization": "Q4_K_M"}
    return ChatModel(id=id, **_FACTS | made | changes)


def dense_record(id: str, **changes: Any) -> DenseModel:
    made = {"model_type": "dense", "embedding_dim": 8, "multi_vector": False}
    return DenseModel(id=id, **_FACTS | made | changes)


class Registry(ModelRegistry[Any]):
    """Records and profiles that were made by hand."""

    def __init__(self, records: Iterable[Any], profiles: Mapping[str, Profile] | None = None) -> None:
        self._records = {record.id: record for record in records}
        self._aliases = {alias: record for record in self._records.values() for alias in record.aliases}
        self._profiles = dict(profiles or {})
        self._name = "small"

    def __iter__(self):
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def profiles(self) -> Mapping[str, Profile]:
        return self._profiles

    def find_model(self, text: str) -> Any:
        return self._records.get(text) or self._aliases.get(text)

    def _names(self):
        yield from ((name, name) for name in self._records)
        yield from ((alias, record.id) for alias, record in self._aliases.items())


def registry_of(*records: Any, **roles: str | RoleModel) -> Registry:
    """Make a registry of these records whose profile `default` has these roles."""
    models = {role: RoleModel(role, model) if isinstance(model, str) else model for role, model in roles.items()}
    return Registry(records, {"default": Profile("default", None, models)})


class Silent:
    """A provider that is there, or is not, and serves nothing."""

    def __init__(self, name: str, reason: str | None = None, remedy: str = "") -> None:
        self.name = name
        self.asked = 0
        self.is_closed = False
        self._availability = Availability(reason, remedy)

    def available(self) -> Availability:
        self.asked += 1
        return self._availability

    def close(self) -> None:
        self.is_closed = True

    def _refuse(self, *_: object, **__: object) -> Any:
        raise AssertionError(f"{self.name} was asked for more than whether it is there")

    has = ensure = chat = stream = embed = _refuse

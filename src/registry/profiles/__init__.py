"""Roles to models, and who serves them: resolved, fetched before the first call, with others to fall back on.

    >>> from registry.profiles import Chat, resolve
    >>> resolve("general").provider  # doctest: +SKIP
    'ollama'
    >>> with Chat(role="general") as chat:  # doctest: +SKIP
    ...     answer = chat.reply([{"role": "user", "content": "How tall is Mount Everest?"}])

Importing this imports no provider's package: that happens when a provider is first asked.
"""

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from registry.profiles.active import Profiles as Profiles
    from registry.profiles.answers import AsyncRoleStream as AsyncRoleStream
    from registry.profiles.answers import FailedAttempt as FailedAttempt
    from registry.profiles.answers import RoleCompletion as RoleCompletion
    from registry.profiles.answers import RoleStream as RoleStream
    from registry.profiles.answers import ServedBy as ServedBy
    from registry.profiles.chat import Chat as Chat
    from registry.profiles.checkpoints.provider import TransformersProvider as TransformersProvider
    from registry.profiles.embedder import Embedded as Embedded
    from registry.profiles.embedder import Embedder as Embedder
    from registry.profiles.events import Event as Event
    from registry.profiles.manifest import Manifest as Manifest
    from registry.profiles.manifest import read_manifest as read_manifest
    from registry.profiles.protocol import Availability as Availability
    from registry.profiles.protocol import Ensured as Ensured
    from registry.profiles.protocol import Provider as Provider
    from registry.profiles.protocol import Target as Target
    from registry.profiles.providers.local import LocalProvider as LocalProvider
    from registry.profiles.providers.ollama import OllamaProvider as OllamaProvider
    from registry.profiles.providers.openai import OpenAIProvider as OpenAIProvider
    from registry.profiles.provisioning import provision as provision
    from registry.profiles.registered import Providers as Providers
    from registry.profiles.reports import Outcome as Outcome
    from registry.profiles.reports import Report as Report
    from registry.profiles.resolution import Candidate as Candidate
    from registry.profiles.resolution import PassedOver as PassedOver
    from registry.profiles.resolution import Resolution as Resolution
    from registry.profiles.resolution import resolve as resolve

_HOMES = {
    "AsyncRoleStream": "answers",
    "Availability": "protocol",
    "Candidate": "resolution",
    "Chat": "chat",
    "Embedded": "embedder",
    "Embedder": "embedder",
    "Ensured": "protocol",
    "Event": "events",
    "FailedAttempt": "answers",
    "LocalProvider": "providers.local",
    "Manifest": "manifest",
    "OllamaProvider": "providers.ollama",
    "OpenAIProvider": "providers.openai",
    "Outcome": "reports",
    "PassedOver": "resolution",
    "Profiles": "active",
    "Provider": "protocol",
    "Providers": "registered",
    "Report": "reports",
    "Resolution": "resolution",
    "RoleCompletion": "answers",
    "RoleStream": "answers",
    "ServedBy": "answers",
    "Target": "protocol",
    "TransformersProvider": "checkpoints.provider",
    "provision": "provisioning",
    "read_manifest": "manifest",
    "resolve": "resolution",
}
if not TYPE_CHECKING:  # or every misspelt name would have a type

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value

    def __dir__():
        return sorted(_HOMES)

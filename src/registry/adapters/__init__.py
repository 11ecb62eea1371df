"""LoRA adapters that change while they are served: a manifest says which, every worker moves to the new ones together.

    >>> from registry.adapters import read_manifest
    >>> read_manifest("adapters.json").adapters[0].version  # doctest: +SKIP
    '2026-11-21'

Importing this imports nothing that fetches or loads: that happens when an adapter is prepared.
"""

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from registry.adapters.decision import AdapterRef as AdapterRef
    from registry.adapters.decision import Ballot as Ballot
    from registry.adapters.decision import Decision as Decision
    from registry.adapters.decision import Refusal as Refusal
    from registry.adapters.decision import next_decision as next_decision
    from registry.adapters.files import AdapterFiles as AdapterFiles
    from registry.adapters.local import local_adapters as local_adapters
    from registry.adapters.manifest import AdapterEntry as AdapterEntry
    from registry.adapters.manifest import AdapterManifest as AdapterManifest
    from registry.adapters.manifest import parse_manifest as parse_manifest
    from registry.adapters.preparing import Freeing as Freeing
    from registry.adapters.preparing import Preparing as Preparing
    from registry.adapters.rendezvous import FileRendezvous as FileRendezvous
    from registry.adapters.rendezvous import Rendezvous as Rendezvous
    from registry.adapters.rendezvous import file_rendezvous as file_rendezvous
    from registry.adapters.source import ManifestSource as ManifestSource
    from registry.adapters.source import read_manifest as read_manifest
    from registry.adapters.version import AdapterVersion as AdapterVersion
    from registry.adapters.watching import Adapters as Adapters
    from registry.adapters.watching import Pace as Pace

_HOMES = {
    "AdapterEntry": "manifest",
    "AdapterFiles": "files",
    "AdapterManifest": "manifest",
    "AdapterRef": "decision",
    "AdapterVersion": "version",
    "Adapters": "watching",
    "Ballot": "decision",
    "Decision": "decision",
    "FileRendezvous": "rendezvous",
    "Freeing": "preparing",
    "ManifestSource": "source",
    "Pace": "watching",
    "Preparing": "preparing",
    "Refusal": "decision",
    "Rendezvous": "rendezvous",
    "file_rendezvous": "rendezvous",
    "local_adapters": "local",
    "next_decision": "decision",
    "parse_manifest": "manifest",
    "read_manifest": "source",
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

"""Files of models: fetched, proven by their digests, kept, and taken along.

    >>> from registry import COLBERT_V2
    >>> from registry.hub import ensure
    >>> ensure(COLBERT_V2)  # doctest: +SKIP
    PosixPath('/home/me/.local/share/typed-model-registry/models/colbert-v2')

Importing this imports nothing else; what fetching needs is imported when something is fetched.
"""

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from registry.hub._ensure import FetchKeywords as FetchKeywords
    from registry.hub._ensure import ensure as ensure
    from registry.hub._ensure import use as use
    from registry.hub._verify import verify as verify
    from registry.hub.bundles import bundle as bundle
    from registry.hub.bundles import install_bundle as install_bundle
    from registry.hub.cache import Cache as Cache
    from registry.hub.cache import CacheStats as CacheStats
    from registry.hub.manifest import CachedFile as CachedFile
    from registry.hub.manifest import CacheEntry as CacheEntry
    from registry.hub.outdated import Update as Update
    from registry.hub.outdated import check_weekly as check_weekly
    from registry.hub.outdated import update as update
    from registry.hub.outdated import updates as updates
    from registry.hub.policy import check_license as check_license
    from registry.hub.progress import Progress as Progress
    from registry.hub.progress import rich_progress as rich_progress
    from registry.hub.verification import Verification as Verification

_HOMES = {
    "Cache": "cache",
    "CacheEntry": "manifest",
    "CacheStats": "cache",
    "CachedFile": "manifest",
    "FetchKeywords": "_ensure",
    "Progress": "progress",
    "Update": "outdated",
    "Verification": "verification",
    "bundle": "bundles",
    "check_license": "policy",
    "check_weekly": "outdated",
    "ensure": "_ensure",
    "install_bundle": "bundles",
    "rich_progress": "progress",
    "update": "outdated",
    "updates": "outdated",
    "use": "_ensure",
    "verify": "_verify",
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

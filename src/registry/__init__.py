"""A catalogue of models, compiled: typed constants, enums and indexed queries.

    >>> from registry import COLBERT_V2, get_model
    >>> COLBERT_V2.embedding_dim
    128
    >>> get_model("colbert-v2") is COLBERT_V2
    True

Importing the package reads no data file and touches no network. Names are resolved when they are first
used, so `import registry` alone costs next to nothing.
"""

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from registry._registry import *  # noqa: F403 - the stub names them; at run time __getattr__ does
    from registry.config import ModelConfig as ModelConfig
    from registry.errors import AdapterError as AdapterError
    from registry.errors import CacheFullError as CacheFullError
    from registry.errors import CatalogBusyError as CatalogBusyError
    from registry.errors import CatalogFileError as CatalogFileError
    from registry.errors import CatalogModelNotFoundError as CatalogModelNotFoundError
    from registry.errors import ChecksumMismatchError as ChecksumMismatchError
    from registry.errors import ContextOverflowError as ContextOverflowError
    from registry.errors import DeploymentError as DeploymentError
    from registry.errors import DownloadError as DownloadError
    from registry.errors import EmbeddingSpaceError as EmbeddingSpaceError
    from registry.errors import GeneratedFormatError as GeneratedFormatError
    from registry.errors import ImportRowsError as ImportRowsError
    from registry.errors import InsufficientMemoryError as InsufficientMemoryError
    from registry.errors import InvalidFieldError as InvalidFieldError
    from registry.errors import InvalidInputError as InvalidInputError
    from registry.errors import InvalidMessageError as InvalidMessageError
    from registry.errors import InvalidOptionError as InvalidOptionError
    from registry.errors import InvalidSettingError as InvalidSettingError
    from registry.errors import LicenseNotAllowedError as LicenseNotAllowedError
    from registry.errors import ManifestError as ManifestError
    from registry.errors import MissingExtraError as MissingExtraError
    from registry.errors import ModelBusyError as ModelBusyError
    from registry.errors import ModelClosedError as ModelClosedError
    from registry.errors import ModelExistsError as ModelExistsError
    from registry.errors import ModelLoadError as ModelLoadError
    from registry.errors import ModelNotDownloadedError as ModelNotDownloadedError
    from registry.errors import ModelNotFoundError as ModelNotFoundError
    from registry.errors import NameCollisionError as NameCollisionError
    from registry.errors import NoDefaultModelError as NoDefaultModelError
    from registry.errors import NoProviderError as NoProviderError
    from registry.errors import ProfileNotFoundError as ProfileNotFoundError
    from registry.errors import ProviderError as ProviderError
    from registry.errors import ProviderModelError as ProviderModelError
    from registry.errors import ProviderTimeoutError as ProviderTimeoutError
    from registry.errors import ProviderUnavailableError as ProviderUnavailableError
    from registry.errors import RegistryError as RegistryError
    from registry.errors import RemoteCodeNotAllowedError as RemoteCodeNotAllowedError
    from registry.errors import RoleNotFoundError as RoleNotFoundError
    from registry.errors import StreamBrokenError as StreamBrokenError
    from registry.errors import TemplateError as TemplateError
    from registry.errors import UnpinnedModelError as UnpinnedModelError
    from registry.errors import UnsafeWeightsError as UnsafeWeightsError
    from registry.errors import UnsupportedDimensionError as UnsupportedDimensionError
    from registry.errors import UnsupportedModelError as UnsupportedModelError
    from registry.queries import ModelRegistry as ModelRegistry
    from registry.queries import combine as combine
    from registry.records import ChatModel as ChatModel
    from registry.records import DenseModel as DenseModel
    from registry.records import EmbeddingModel as EmbeddingModel
    from registry.records import EncoderModel as EncoderModel
    from registry.records import LoraAdapter as LoraAdapter
    from registry.records import ModelFile as ModelFile
    from registry.records import ModelInfo as ModelInfo
    from registry.records import ModelVariant as ModelVariant
    from registry.records import MultiVectorModel as MultiVectorModel
    from registry.records import Profile as Profile
    from registry.records import RerankerModel as RerankerModel
    from registry.records import RoleModel as RoleModel
    from registry.records import RuntimeDefaults as RuntimeDefaults
    from registry.records import SamplingDefaults as SamplingDefaults
    from registry.records import SparseModel as SparseModel

    __version__: str

_HOMES = {
    "registry.config": ("ModelConfig",),
    "registry.errors": (
        "AdapterError",
        "CacheFullError",
        "CatalogBusyError",
        "CatalogFileError",
        "CatalogModelNotFoundError",
        "ChecksumMismatchError",
        "ContextOverflowError",
        "DeploymentError",
        "DownloadError",
        "EmbeddingSpaceError",
        "GeneratedFormatError",
        "ImportRowsError",
        "InsufficientMemoryError",
        "InvalidFieldError",
        "InvalidInputError",
        "InvalidMessageError",
        "InvalidOptionError",
        "InvalidSettingError",
        "LicenseNotAllowedError",
        "ManifestError",
        "MissingExtraError",
        "ModelBusyError",
        "ModelClosedError",
        "ModelExistsError",
        "ModelLoadError",
        "ModelNotDownloadedError",
        "ModelNotFoundError",
        "NameCollisionError",
        "NoDefaultModelError",
        "NoProviderError",
        "ProfileNotFoundError",
        "ProviderError",
        "ProviderModelError",
        "ProviderTimeoutError",
        "ProviderUnavailableError",
        "RegistryError",
        "RemoteCodeNotAllowedError",
        "RoleNotFoundError",
        "StreamBrokenError",
        "TemplateError",
        "UnpinnedModelError",
        "UnsafeWeightsError",
        "UnsupportedDimensionError",
        "UnsupportedModelError",
    ),
    "registry.queries": ("ModelRegistry", "combine"),
    "registry.records": (
        "ChatModel",
        "DenseModel",
        "EmbeddingModel",
        "EncoderModel",
        "LoraAdapter",
        "ModelFile",
        "ModelInfo",
        "ModelVariant",
        "MultiVectorModel",
        "Profile",
        "RerankerModel",
        "RoleModel",
        "RuntimeDefaults",
        "SamplingDefaults",
        "SparseModel",
    ),
}


if not TYPE_CHECKING:  # or every misspelt name would have a type

    def __getattr__(name):
        if name == "__all__":
            return __dir__()
        if name == "__version__":
            from importlib.metadata import PackageNotFoundError, version

            try:
                value = version("typed-model-registry")
            except PackageNotFoundError:
                raise AttributeError(f"{__name__!r} is not installed and has no version") from None
        elif name.startswith("_"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        elif f"{__name__}.{name}" in _HOMES:  # `from registry import errors` asks here before it looks for a module
            return _load(f"{__name__}.{name}")
        else:
            home = _load(next((home for home, names in _HOMES.items() if name in names), f"{__name__}._registry"))
            try:
                value = getattr(home, name)
            except AttributeError:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        globals()[name] = value
        return value

    def __dir__():
        generated = dir(_load(f"{__name__}._registry"))
        return sorted({*generated, *(name for names in _HOMES.values() for name in names)})

    def _load(module):
        import sys

        try:
            __import__(module)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}._registry":
                raise
            raise ImportError(
                "`registry._registry` is missing: it is generated when the package is built. "
                "Run `make generate`, or install the checkout with `pip install -e .`."
            ) from None
        return sys.modules[module]

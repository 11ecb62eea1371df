"""The package itself: names that are resolved on first touch, and what importing it costs."""

import importlib.metadata
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import registry
from registry import _registry

PACKAGE = Path(registry.__file__).parent

CLASSES = [
    "AdapterError",
    "CacheFullError",
    "CatalogBusyError",
    "CatalogFileError",
    "CatalogModelNotFoundError",
    "ChatModel",
    "ChecksumMismatchError",
    "ContextOverflowError",
    "DeploymentError",
    "DenseModel",
    "DownloadError",
    "EmbeddingModel",
    "EmbeddingSpaceError",
    "EncoderModel",
    "GeneratedFormatError",
    "ImportRowsError",
    "InsufficientMemoryError",
    "InvalidFieldError",
    "InvalidInputError",
    "InvalidMessageError",
    "InvalidOptionError",
    "InvalidSettingError",
    "LicenseNotAllowedError",
    "LoraAdapter",
    "ManifestError",
    "MissingExtraError",
    "ModelBusyError",
    "ModelClosedError",
    "ModelConfig",
    "ModelExistsError",
    "ModelFile",
    "ModelInfo",
    "ModelLoadError",
    "ModelNotDownloadedError",
    "ModelNotFoundError",
    "ModelRegistry",
    "ModelVariant",
    "MultiVectorModel",
    "NameCollisionError",
    "NoDefaultModelError",
    "NoProviderError",
    "Profile",
    "ProfileNotFoundError",
    "ProviderError",
    "ProviderModelError",
    "ProviderTimeoutError",
    "ProviderUnavailableError",
    "RegistryError",
    "RemoteCodeNotAllowedError",
    "RerankerModel",
    "RoleModel",
    "RoleNotFoundError",
    "RuntimeDefaults",
    "SamplingDefaults",
    "SparseModel",
    "StreamBrokenError",
    "TemplateError",
    "UnpinnedModelError",
    "UnsafeWeightsError",
    "UnsupportedDimensionError",
    "UnsupportedModelError",
    "combine",
]


def test_dir_lists_every_public_name() -> None:
    assert dir(registry) == sorted({*CLASSES, *dir(_registry)})


def test_all_is_every_public_name() -> None:
    assert registry.__all__ == dir(registry)


@pytest.mark.parametrize("name", dir(registry))
def test_every_name_of_dir_resolves_and_stays_the_same(name: str) -> None:
    assert getattr(registry, name) is getattr(registry, name)


def test_name_that_was_touched_is_resolved_once(run_python: Callable[..., str]) -> None:
    touched = "print('COLBERT_V2' in vars(registry))"
    code = f"import registry; {touched}; registry.COLBERT_V2; {touched}"

    assert run_python(code) == "False\nTrue\n"


def test_star_import_brings_every_public_name() -> None:
    space: dict[str, object] = {}

    exec("from registry import *", space)

    assert sorted(space.keys() - {"__builtins__"}) == dir(registry)


@pytest.mark.parametrize(
    "name",
    [
        "COLBERT_V2",
        "MODEL_REGISTRY",
        "REGISTRY_VERSION",
        "ModelId",
        "ModelType",
        "ModelConfig",
        "get_model",
        "find_model",
        "lookup_model",
        "find_models",
        "get_default_model",
        "get_sources",
        "DEFAULT_PROFILE",
        "ProfileName",
        "Role",
        "get_profile",
        "list_profiles",
        "models_by_type",
        "models_by_organization",
        "models_by_family",
        "models_by_language",
        "models_by_license",
        "models_by_capability",
        "models_by_tag",
        "models_by_quantization",
        "models_by_max_embedding_dim",
        "models_with_matryoshka",
        "Organization",
        "Family",
        "License",
        "Language",
        "Capability",
        "Quantization",
        "combine",
    ],
)
def test_name_that_users_type_is_there(name: str) -> None:
    assert name in dir(registry)


def test_version_is_that_of_the_distribution() -> None:
    assert registry.__version__ == importlib.metadata.version("typed-model-registry")


@pytest.mark.parametrize("name", ["COLBERT_V99", "_private", "__wrapped__", "get_modle"])
def test_unknown_name_raises_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(registry, name)

    assert str(caught.value) == f"module 'registry' has no attribute {name!r}"


def test_unknown_name_in_an_import_raises_import_error() -> None:
    with pytest.raises(ImportError, match=r"^cannot import name 'COLBERT_V99' from 'registry'"):
        exec("from registry import COLBERT_V99")


def test_unknown_name_of_the_generated_module_raises_attribute_error() -> None:
    with pytest.raises(AttributeError) as caught:
        _registry.COLBERT_V99  # noqa: B018

    assert str(caught.value) == "module 'registry._registry' has no attribute 'COLBERT_V99'"


HINT = (
    "`registry._registry` is missing: it is generated when the package is built. "
    "Run `make generate`, or install the checkout with `pip install -e .`."
)


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A copy of the package without what is generated, as in a checkout that nobody has built."""
    left_out = shutil.ignore_patterns("_registry*", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "registry", ignore=left_out)
    return str(tmp_path)


@pytest.mark.parametrize(
    "statement",
    [
        "from registry import COLBERT_V2",
        "import registry; registry.get_model",
        "import registry; dir(registry)",
        "from registry import *",
        "from registry import ModelConfig; ModelConfig.colbert_v2()",
    ],
)
def test_package_without_its_generated_module_says_how_to_get_it(
    statement: str, bare: str, run_python: Callable[..., str]
) -> None:
    code = f"try:\n    exec({statement!r})\nexcept ImportError as error:\n    print(error)"

    assert run_python(code, PYTHONPATH=bare) == f"{HINT}\n"


def test_package_without_its_generated_module_still_has_its_classes(bare: str, run_python: Callable[..., str]) -> None:
    assert run_python("from registry import ChatModel; print(ChatModel.__name__)", PYTHONPATH=bare) == "ChatModel\n"


def _loaded(run_python: Callable[..., str], statement: str) -> set[str]:
    """Give the modules that a statement loads in a fresh process which has loaded next to nothing."""
    code = (
        f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); before = set(sys.modules)\n{statement}\n"
        "now = sorted(set(sys.modules) - before)\nimport json; print(json.dumps(now))"
    )
    return set(json.loads(run_python(code, "-I", "-S")))


def test_import_of_the_package_loads_nothing_else(run_python: Callable[..., str]) -> None:
    assert _loaded(run_python, "import registry") == {"registry"}


def test_import_of_names_loads_only_the_core_and_the_standard_library(run_python: Callable[..., str]) -> None:
    loaded = _loaded(run_python, "from registry import COLBERT_V2, get_model; get_model('colbert-v2').license")

    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert foreign == {"registry"}


@pytest.mark.parametrize(
    "module", ["json", "typing", "registry._registry_sources", "registry.config", "importlib.metadata"]
)
def test_import_of_names_leaves_out_what_it_does_not_need(module: str, run_python: Callable[..., str]) -> None:
    assert module not in _loaded(run_python, "from registry import COLBERT_V2, get_model; COLBERT_V2.embedding_dim")


def test_import_reads_no_file_but_modules_and_opens_no_socket(run_python: Callable[..., str]) -> None:
    code = (
        "import sys; seen = []\n"
        "sys.addaudithook(lambda event, args: seen.append((event, str(args[0]))) "
        "if event == 'open' or event.startswith('socket') else None)\n"
        "from registry import COLBERT_V2, models_by_type\n"
        "COLBERT_V2.license, models_by_type('chat')[0].file\n"
        "print([e for e in seen if e[0] != 'open' or not e[1].endswith(('.py', '.pyc')) and '.pyc.' not in e[1]])"
    )

    assert run_python(code) == "[]\n"


def test_module_of_the_package_is_had_without_the_registry(run_python: Callable[..., str]) -> None:
    code = (
        "import sys\nfrom registry import errors, records\nprint(errors.__name__, 'registry._registry' in sys.modules)"
    )

    assert run_python(code) == "registry.errors False\n"

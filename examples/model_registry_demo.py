"""A tour of the registry: one constant, look-ups, every query, and the whole catalogue as a table.

Run it with `make demo`, or `python examples/model_registry_demo.py [--all]`. It needs nothing but the package itself:
no network, no model files, no third-party library.
"""

import sys
import textwrap
from collections.abc import Sequence

from registry import (
    ANSWERAI_COLBERT_SMALL_V1,
    COLBERT_V2,
    MODEL_REGISTRY,
    REGISTRY_VERSION,
    Capability,
    EmbeddingModel,
    License,
    ModelConfig,
    ModelInfo,
    ModelNotFoundError,
    ModelType,
    UnsupportedDimensionError,
    find_model,
    find_models,
    get_default_model,
    get_model,
    get_sources,
    lookup_model,
    models_by_capability,
    models_by_family,
    models_by_language,
    models_by_license,
    models_by_max_embedding_dim,
    models_by_organization,
    models_by_quantization,
    models_by_tag,
    models_by_type,
    models_with_matryoshka,
)

WIDTH = 96
ROWS = 12  # of the table, without `--all`


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def show(expression: str, value: object) -> None:
    print(f"  {expression:<46} {value}")


def show_error(expression: str, error: Exception) -> None:
    print(f"  {expression} raises {type(error).__name__}")
    print(textwrap.fill(str(error), WIDTH, initial_indent="    ", subsequent_indent="    "))


def show_models(expression: str, models: tuple[ModelInfo, ...]) -> None:
    names = ", ".join(model.id for model in models[:2])
    print(f"  {expression}\n  {len(models):>6} models: {names}{', ...' if len(models) > 2 else ''}")


def one_constant() -> None:
    heading("A constant holds one model; its fields are typed")
    show("COLBERT_V2.name", COLBERT_V2.name)
    show("COLBERT_V2.huggingface_id", COLBERT_V2.huggingface_id)
    show("COLBERT_V2.model_type", repr(COLBERT_V2.model_type))
    show("COLBERT_V2.embedding_dim", COLBERT_V2.embedding_dim)
    show("COLBERT_V2.context_length", COLBERT_V2.context_length)
    show("COLBERT_V2.languages", COLBERT_V2.languages)
    show("COLBERT_V2.license", COLBERT_V2.license)
    show("COLBERT_V2.version", f"{COLBERT_V2.version}: unknown values are None, never a guess")
    file = COLBERT_V2.files[0]
    show("file = COLBERT_V2.files[0]; file.name", file.name)
    show("file.size_bytes", file.size_bytes)
    print(f"  file.sha256\n    {file.sha256}")


def look_up() -> None:
    heading("Look-up by id or alias gives that same object")
    show('get_model("colbert-v2") is COLBERT_V2', get_model("colbert-v2") is COLBERT_V2)
    small = get_model("colbert-small")
    show('small = get_model("colbert-small"); small.id', small.id)
    show("small is ANSWERAI_COLBERT_SMALL_V1", small is ANSWERAI_COLBERT_SMALL_V1)
    show("get_default_model().id", get_default_model().id)

    heading("A name that is known only at run time")
    show('find_model("no-such-model")', find_model("no-such-model"))
    try:
        lookup_model("colbert-v3")
    except ModelNotFoundError as error:
        show_error('lookup_model("colbert-v3")', error)


def queries() -> None:
    heading("Queries give tuples, in the order of the registry")
    show_models("models_by_type(ModelType.COLBERT)", models_by_type(ModelType.COLBERT))
    show_models('models_by_organization("BAAI")', models_by_organization("BAAI"))
    show_models('models_by_family("Qwen2.5-Coder")', models_by_family("Qwen2.5-Coder"))
    show_models('models_by_language("de")', models_by_language("de"))
    show_models("models_by_license(License.MIT)", models_by_license(License.MIT))
    show_models("models_by_capability(Capability.CODE)", models_by_capability(Capability.CODE))
    show_models('models_by_tag("retrieval")', models_by_tag("retrieval"))
    show_models('models_by_quantization("Q4_K_M")', models_by_quantization("Q4_K_M"))
    show_models("models_by_max_embedding_dim(128)", models_by_max_embedding_dim(128))
    show_models("models_with_matryoshka()", models_with_matryoshka())
    show_models(
        'find_models(type="dense", language="de", license="MIT")',
        find_models(type="dense", language="de", license="MIT"),
    )


def configuration() -> None:
    heading("ModelConfig: what most code needs of an embedding model")
    print('  ModelConfig.from_registry("jina-colbert-v2")')
    print(f"    {ModelConfig.from_registry('jina-colbert-v2')}")
    show("ModelConfig.jina_colbert_v2(64).embedding_dim", ModelConfig.jina_colbert_v2(64).embedding_dim)
    try:
        ModelConfig.jina_colbert_v2(100)
    except UnsupportedDimensionError as error:
        show_error("ModelConfig.jina_colbert_v2(100)", error)


def provenance() -> None:
    heading("Where the values were read")
    sources = get_sources(COLBERT_V2)
    show("len(get_sources(COLBERT_V2))", f"{len(sources)} fields have one")
    print('  get_sources(COLBERT_V2)["specs.embedding_dim"]')
    for source in sources["specs.embedding_dim"]:
        print(f"    {source}")


def table(models: Sequence[ModelInfo]) -> None:
    width = max(len(model.id) for model in models)
    print(f"  {'id':<{width}} {'type':<18} {'dims':>5} {'tokens':>7}  license")
    for model in models:
        dims = model.embedding_dim if isinstance(model, EmbeddingModel) else "-"
        tokens = "-" if model.context_length is None else model.context_length
        print(f"  {model.id:<{width}} {model.model_type:<18} {dims:>5} {tokens:>7}  {model.license or '-'}")


def catalogue(rows: int) -> None:
    heading("MODEL_REGISTRY is a mapping from ids to records")
    table(list(MODEL_REGISTRY.values())[:rows])
    if len(MODEL_REGISTRY) > rows:
        print(f"  ... and {len(MODEL_REGISTRY) - rows} more: `--all` prints every one")


def main(arguments: list[str]) -> None:
    print(f"Model registry, version {REGISTRY_VERSION} of the data: {len(MODEL_REGISTRY)} models")
    one_constant()
    look_up()
    queries()
    configuration()
    provenance()
    catalogue(len(MODEL_REGISTRY) if "--all" in arguments else ROWS)


if __name__ == "__main__":
    main(sys.argv[1:])

"""`load`: a record in, a loaded model out."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack, overload

from registry._extras import require
from registry._home import models_folder
from registry._places import key_of
from registry.errors import ModelNotFoundError, UnsupportedDimensionError, UnsupportedModelError
from registry.loaders.layout import inspect
from registry.loaders.locate import locate
from registry.loaders.options import (
    CHAT_OPTIONS,
    ENCODER_OPTIONS,
    GGUF_ENCODER_OPTIONS,
    RERANKER_OPTIONS,
    SPARSE_OPTIONS,
    LoadKeywords,
    LoadOptions,
    check_truncation,
)

if TYPE_CHECKING:
    from registry.config import ModelConfig
    from registry.loaders.chat import Chat
    from registry.loaders.dense import DenseEncoder
    from registry.loaders.late_interaction import LateInteractionEncoder
    from registry.loaders.locate import Located
    from registry.loaders.reranker import Reranker
    from registry.loaders.sparse import SparseEncoder
    from registry.queries import ModelRegistry
    from registry.records import (
        ChatModel,
        DenseModel,
        EmbeddingModel,
        ModelInfo,
        MultiVectorModel,
        RerankerModel,
        SparseModel,
    )

    PathLike: TypeAlias = str | os.PathLike[str]
    Encoder: TypeAlias = DenseEncoder | LateInteractionEncoder | SparseEncoder
    LoadedModel: TypeAlias = Chat | Encoder | Reranker


@overload
def load(
    model: ChatModel | None = None,
    *,
    path: PathLike | None = None,
    options: LoadOptions | None = None,
    **changes: Unpack[LoadKeywords],
) -> Chat: ...
@overload
def load(
    model: DenseModel,
    *,
    path: PathLike | None = None,
    options: LoadOptions | None = None,
    **changes: Unpack[LoadKeywords],
) -> DenseEncoder: ...
@overload
def load(
    model: MultiVectorModel,
    *,
    path: PathLike | None = None,
    options: LoadOptions | None = None,
    **changes: Unpack[LoadKeywords],
) -> LateInteractionEncoder: ...
@overload
def load(
    model: SparseModel,
    *,
    path: PathLike | None = None,
    options: LoadOptions | None = None,
    **changes: Unpack[LoadKeywords],
) -> SparseEncoder: ...
@overload
def load(
    model: RerankerModel,
    *,
    path: PathLike | None = None,
    options: LoadOptions | None = None,
    **changes: Unpack[LoadKeywords],
) -> Reranker: ...
@overload
def load(
    model: EmbeddingModel | ModelConfig,
    *,
    path: PathLike | None = None,
    options: LoadOptions | None = None,
    **changes: Unpack[LoadKeywords],
) -> Encoder: ...
@overload
def load(
    model: str | ModelInfo,
    *,
    path: PathLike | None = None,
    options: LoadOptions | None = None,
    **changes: Unpack[LoadKeywords],
) -> LoadedModel: ...
def load(
    model: str | ModelInfo | ModelConfig | None = None,
    *,
    path: PathLike | None = None,
    options: LoadOptions | None = None,
    **changes: Unpack[LoadKeywords],
) -> LoadedModel:
    """Load a model. Reads files of this machine, and without `download=True` never uses the network.

    Args:
        model: A record of any generated registry, an id or alias of this package's, or a `ModelConfig`. Left out: the
            default chat model.
        path: GGUF file or folder to load from. Left out: the first of the model folder of `REGISTRY_HOME`, the Hugging
            Face cache at the pinned revision, and a package that carries the model; see `registry.hub.ensure`.
        options: How to load it.
        changes: Fields of `LoadOptions` in place of those of `options`.

    Returns:
        A model that is freed at the end of a `with` block, or by `close()`.

    Raises:
        ModelNotFoundError: No record has this id or alias.
        ModelNotDownloadedError: The files are not on this machine, and `download` is not set.
        ChecksumMismatchError: They are not the bytes that the record pins.
        LicenseNotAllowedError: The setting `licenses` does not allow the model's.
        ModelLoadError: They are not what the record says.
        MissingExtraError: The package that loads such models is not installed.
        InvalidOptionError: An option has a value that it cannot have, or means nothing to such a model.
        UnsafeWeightsError: The weights are in a format that can run code.
        RemoteCodeNotAllowedError: Loading would run code from the repository.

    Example:
        >>> from registry import ALL_MINILM_L6_V2
        >>> with load(ALL_MINILM_L6_V2) as encoder:  # doctest: +SKIP
        ...     encoder.encode_query(["How tall is Mount Everest?"]).shape
        (1, 384)
    """
    if options is not None and not isinstance(options, LoadOptions):
        raise TypeError(f"expected `options` to be LoadOptions, got {options!r}. Give single options as keywords.")
    wanted = (options or LoadOptions()).changed(changes)
    record, wanted = record_of(model, wanted)
    started = time.perf_counter()
    open_with = _opener(record)
    with ExitStack() as kept:
        if path is None:
            from registry.hub.locks import in_use

            # Every extra that loads models brings it; to name that of the model is to be asked for one extra only.
            require("filelock", extra="chat" if open_with is _open_chat else "embed", purpose="Loading models")
            # From here on, nothing that makes room takes the files away.
            kept.enter_context(in_use(models_folder(), key_of(record)))
        handle: LoadedModel = open_with(record, locate(record, path, download=wanted.download), wanted)
        handle.keep_until_closed(kept.pop_all())
    handle.load_seconds = time.perf_counter() - started
    return handle


def record_of(
    model: str | ModelInfo | ModelConfig | None, options: LoadOptions, registry: ModelRegistry[Any] | None = None
) -> tuple[ModelInfo, LoadOptions]:
    """Give the record that a model is named by, and the options with what the name implies.

    Raises:
        ModelNotFoundError: No record has this id, alias or repository.
    """
    from registry.records import ModelInfo

    if isinstance(model, ModelInfo):
        return model, options  # at once: the shipped registry need not be imported for it
    from registry import MODEL_REGISTRY
    from registry.config import ModelConfig

    records = MODEL_REGISTRY if registry is None else registry
    if model is None:
        return records.get_default_model(), options
    if isinstance(model, str):
        return records.lookup_model(model), options
    if isinstance(model, ModelConfig):
        return _record_of_config(model, options, records)
    raise TypeError(f"expected a record, an id or a ModelConfig, got {model!r}")


def _record_of_config(
    config: ModelConfig, options: LoadOptions, records: ModelRegistry[Any]
) -> tuple[ModelInfo, LoadOptions]:
    sizes: tuple[int, ...] = ()
    for record in records.values():
        if record.huggingface_id != config.huggingface_id or getattr(record, "embedding_dim", None) is None:
            continue
        sizes = (record.embedding_dim, *reversed(getattr(record, "matryoshka_dims", ())))
        if config.embedding_dim in sizes:
            if config.embedding_dim != sizes[0] and options.truncate_dim is None:
                options = options.changed({"truncate_dim": config.embedding_dim})
            if config.context_length not in (None, record.context_length) and options.context_length is None:
                options = options.changed({"context_length": config.context_length})
            return record, options
    if sizes:
        raise UnsupportedDimensionError(config.huggingface_id, config.embedding_dim, tuple(dict.fromkeys(sizes)))
    raise ModelNotFoundError(config.huggingface_id)


def _opener(record: Any) -> Any:
    """Give the function that opens models of a record's class."""
    from registry.records import ChatModel, DenseModel, MultiVectorModel, RerankerModel, SparseModel

    openers = {
        ChatModel: _open_chat,
        DenseModel: _open_dense,
        MultiVectorModel: _open_late_interaction,
        SparseModel: _open_sparse,
        RerankerModel: _open_reranker,
    }
    for kind, opener in openers.items():
        if isinstance(record, kind):
            return opener
    known = ", ".join(kind.__name__ for kind in openers)
    reason = f"its class `{type(record).__name__}` says too little to load it. Use {known}."
    raise UnsupportedModelError(record.id, reason)


def _open_chat(record: ChatModel, located: Located, options: LoadOptions) -> Chat:
    from registry.loaders.chat import Chat

    options.refuse_all_but(CHAT_OPTIONS, record.id, "a chat model")
    return Chat(record, located, options)


def _open_dense(record: DenseModel, located: Located, options: LoadOptions) -> DenseEncoder:
    check_truncation(record, options.truncate_dim)
    layout = inspect(located.path, record.id)
    require("numpy", extra="chat" if layout.kind == "gguf" else "embed", purpose="Loading encoders")
    from registry.loaders.dense import DenseEncoder, TransformerBackend

    if layout.kind == "gguf":
        from registry.loaders.llama import LlamaEmbedder

        options.refuse_all_but(GGUF_ENCODER_OPTIONS, record.id, "a GGUF embedding model")
        return DenseEncoder(record, located, layout, options, LlamaEmbedder(record, located, options))
    options.refuse_all_but(ENCODER_OPTIONS, record.id, "a dense embedding model")
    return DenseEncoder(record, located, layout, options, TransformerBackend(record, located, layout, options))


def _open_late_interaction(record: MultiVectorModel, located: Located, options: LoadOptions) -> LateInteractionEncoder:
    require("numpy", extra="embed", purpose="Loading encoders")
    from registry.loaders.late_interaction import LateInteractionEncoder

    options.refuse_all_but(ENCODER_OPTIONS, record.id, "a late-interaction model")
    if "image" in record.modalities:
        raise UnsupportedModelError(record.id, "its documents are images, and encoders read text here.")
    check_truncation(record, options.truncate_dim)
    return LateInteractionEncoder(record, located, inspect(located.path, record.id), options)


def _open_sparse(record: SparseModel, located: Located, options: LoadOptions) -> SparseEncoder:
    require("numpy", extra="embed", purpose="Loading encoders")
    from registry.loaders.sparse import SparseEncoder

    options.refuse_all_but(SPARSE_OPTIONS, record.id, "a sparse embedding model")
    return SparseEncoder(record, located, inspect(located.path, record.id), options)


def _open_reranker(record: RerankerModel, located: Located, options: LoadOptions) -> Reranker:
    require("numpy", extra="embed", purpose="Loading encoders")
    from registry.loaders.reranker import Reranker

    options.refuse_all_but(RERANKER_OPTIONS, record.id, "a reranker")
    return Reranker(record, located, inspect(located.path, record.id), options)

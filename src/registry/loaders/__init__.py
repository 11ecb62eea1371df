"""Loading: a record in, a ready model out.

    >>> from registry import ALL_MINILM_L6_V2
    >>> from registry.loaders import load
    >>> with load(ALL_MINILM_L6_V2) as encoder:  # doctest: +SKIP
    ...     encoder.encode_query(["How tall is Mount Everest?"]).shape
    (1, 384)

Importing this imports neither NumPy nor torch nor llama.cpp: a model's own package is imported when it is loaded.
"""

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from registry.loaders._load import load as load
    from registry.loaders.chat import Chat as Chat
    from registry.loaders.completion import ChatCompletion as ChatCompletion
    from registry.loaders.completion import ChatCompletionChunk as ChatCompletionChunk
    from registry.loaders.completion import Completion as Completion
    from registry.loaders.completion import CompletionChunk as CompletionChunk
    from registry.loaders.completion import Stream as Stream
    from registry.loaders.dense import DenseEncoder as DenseEncoder
    from registry.loaders.embeddings import Embeddings as Embeddings
    from registry.loaders.embeddings import Ranked as Ranked
    from registry.loaders.embeddings import SparseEmbeddings as SparseEmbeddings
    from registry.loaders.embeddings import SparseVector as SparseVector
    from registry.loaders.embeddings import TokenEmbeddings as TokenEmbeddings
    from registry.loaders.handle import Handle as Handle
    from registry.loaders.late_interaction import LateInteractionEncoder as LateInteractionEncoder
    from registry.loaders.manager import ModelManager as ModelManager
    from registry.loaders.manager import ModelStatus as ModelStatus
    from registry.loaders.measured import Hardware as Hardware
    from registry.loaders.measured import Measured as Measured
    from registry.loaders.measured import Measurement as Measurement
    from registry.loaders.measured import Step as Step
    from registry.loaders.measuring import measure as measure
    from registry.loaders.options import LoadOptions as LoadOptions
    from registry.loaders.reranker import Reranker as Reranker
    from registry.loaders.running_on import this_hardware as this_hardware
    from registry.loaders.sparse import SparseEncoder as SparseEncoder
    from registry.loaders.texts import TruncationWarning as TruncationWarning

_HOMES = {
    "load": "_load",
    "Chat": "chat",
    "ChatCompletion": "completion",
    "ChatCompletionChunk": "completion",
    "Completion": "completion",
    "CompletionChunk": "completion",
    "DenseEncoder": "dense",
    "Embeddings": "embeddings",
    "Handle": "handle",
    "LateInteractionEncoder": "late_interaction",
    "Hardware": "measured",
    "LoadOptions": "options",
    "Measured": "measured",
    "Measurement": "measured",
    "ModelManager": "manager",
    "ModelStatus": "manager",
    "Ranked": "embeddings",
    "Reranker": "reranker",
    "SparseEmbeddings": "embeddings",
    "SparseEncoder": "sparse",
    "SparseVector": "embeddings",
    "Step": "measured",
    "Stream": "completion",
    "TokenEmbeddings": "embeddings",
    "TruncationWarning": "texts",
    "measure": "measuring",
    "this_hardware": "running_on",
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

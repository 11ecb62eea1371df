"""The records of a registry: what is known about one model, flat and frozen.

Numbers carry their unit in the name. `None`, and the empty tuple for lists, mean *not known*; never 0, never a guess.
Attributes that come from a vocabulary (`model_type`, `license`, `languages`, ...) are members of the `StrEnum`s of the
registry the record is from, and equal their strings. Where a value was read: `registry.get_sources(record)`.
"""

from __future__ import annotations

from _collections_abc import Mapping  # what `collections.abc` gives, without importing `collections`

from registry._frozen import FrozenDict

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this module
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from registry._frozen import dataclass


@dataclass(frozen=True)
class ModelFile:
    """One file of a model's repository.

    Attributes:
        name: Path in the repository, one folder deep at most.
        role: `tokenizer`, `config`, or the format of weights: `safetensors`, `gguf`, `onnx`, `pytorch`.
        sha256: Digest of the content, 64 hexadecimal digits. `None`: not known.
        size_bytes: Exact size.
        url: Address to fetch it from when that is not the hub.
    """

    name: str
    role: str
    sha256: str | None = None
    size_bytes: int | None = None
    url: str | None = None


@dataclass(frozen=True)
class ModelVariant:
    """The same model in another storage format.

    Attributes:
        id: Name of the variant, unique within its record.
        quantization: Storage format of the weights.
        file: The file that holds them.
    """

    id: str
    quantization: str
    file: ModelFile


@dataclass(frozen=True)
class SamplingDefaults:
    """How a chat model samples unless the caller says otherwise.

    Attributes:
        temperature: 0 (greedy) to 2.
        max_tokens: Longest answer in tokens.
        top_p: Probability mass kept, above 0, at most 1.
        top_k: Number of likeliest tokens kept; 0 keeps all.
        repeat_penalty: Above 0; 1 is none.
    """

    temperature: float = 0.7
    max_tokens: int = 2000
    top_p: float = 0.9
    top_k: int = 40
    repeat_penalty: float = 1.1


@dataclass(frozen=True)
class RuntimeDefaults:
    """How a chat model is loaded unless the caller says otherwise.

    Attributes:
        context_length: Context to allocate, in tokens.
        gpu_layers: Layers to place on the GPU; -1 is all.
        threads: CPU threads; `None`: one for each core of the machine.
        batch_size: Prompt tokens evaluated at once.
    """

    context_length: int = 4096
    gpu_layers: int = -1
    threads: int | None = None
    batch_size: int = 512


@dataclass(frozen=True)
class LoraAdapter:
    """A LoRA adapter in one GGUF file: a change to the weights of a chat model, applied while that is loaded.

    Attributes:
        id: Name of the adapter, unique among the adapters of the registry.
        file: The GGUF file.
        base_model: Model that it changes, a record's id or the `base_model` of records, `org/model`.
        version: Version as the publisher names it.
        description: What it changes, in a sentence or two.
        huggingface_id: Repository on the Hugging Face hub that holds the file, `org/model`.
        revision: Commit of that repository that the digest holds for, 40 hexadecimal digits.
        license: SPDX expression or `LicenseRef-...`, a `License`.
    """

    id: str
    file: ModelFile
    base_model: str
    version: str | None = None
    description: str | None = None
    huggingface_id: str | None = None
    revision: str | None = None
    license: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What every model has.

    Attributes:
        id: Name in the registry, stable for ever.
        model_type: Kind of model, a `ModelType`.
        name: Name for people.
        huggingface_id: Repository on the Hugging Face hub, `org/model`.
        organization: Publisher, an `Organization`.
        description: What it is good for, in a sentence or two.
        release_date: ISO 8601, as exact as it is known: `2024`, `2024-05`, `2024-05-31`.
        license: SPDX expression or `LicenseRef-...`, a `License`.
        license_url: Address of the licence text.
        parameters: Parameter count as the publisher states it: `110M`.
        parameter_count: The same as a number; exact where the stored count is known.
        context_length: Longest input in tokens.
        hidden_dim: Size of the hidden states in components.
        vocab_size: Entries in the vocabulary.
        layers: Transformer layers.
        heads: Attention heads in a layer.
        architecture_type: Architecture of the backbone, as in its config.json: `bert`.
        architecture_variant: Checkpoint or size that the backbone descends from: `bert-base`.
        languages: BCP-47 tags, members of `Language`.
        modalities: What the model reads, members of `Modality`.
        capabilities: What it can be used for, members of `Capability`.
        revision: Commit of the repository that the facts and digests hold for, 40 hexadecimal digits.
        family: Line of models it belongs to, a `Family`.
        tags: Free labels, members of `Tag`.
        aliases: Other names that find this record.
        recommended: True for the model to take in its size class.
        deprecated: True when new use is advised against.
        superseded_by: Id of the record to use instead.
        version: Version as the publisher names it.
        changelog: What changed in this version, or the address that says so.
        requires_remote_code: True when loading runs Python code from the repository.
    """

    id: str
    model_type: str
    name: str
    huggingface_id: str
    organization: str
    description: str
    release_date: str | None = None
    license: str | None = None
    license_url: str | None = None
    parameters: str | None = None
    parameter_count: int | None = None
    context_length: int | None = None
    hidden_dim: int | None = None
    vocab_size: int | None = None
    layers: int | None = None
    heads: int | None = None
    architecture_type: str | None = None
    architecture_variant: str | None = None
    languages: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    revision: str | None = None
    family: str | None = None
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    recommended: bool = False
    deprecated: bool = False
    superseded_by: str | None = None
    version: str | None = None
    changelog: str | None = None
    requires_remote_code: bool | None = None

    def __hash__(self) -> int:
        return hash((self.id, self.huggingface_id, self.revision))

    def __repr__(self) -> str:
        # A hundred languages make a bad line in a REPL; `dataclasses.asdict(record)` has everything.
        return f"<{type(self).__qualname__} {self.id}: {self.huggingface_id}>"


@dataclass(frozen=True, kw_only=True)
class EncoderModel(ModelInfo):
    """What embedding models and rerankers share.

    Attributes:
        max_position_embeddings: Positions in the backbone's configuration, in tokens.
        intermediate_dim: Size of the feed-forward layer in components.
        has_projection: True when a linear layer maps the hidden states to `projection_dims`.
        projection_dims: Output size of that layer in components.
        files: The files that loading needs.
        quantizations: Storage formats the weights are offered in, members of `Quantization`.
        variants: The same model in other storage formats.
        query_prompt: Text put in front of queries; empty where none is used.
        document_prompt: Text put in front of documents; empty where none is used.
        beir_avg: Mean nDCG@10 over BEIR, 0 to 1. Compare only at the same `beir_datasets`.
        beir_datasets: Number of data sets that `beir_avg` is the mean of.
        ms_marco_mrr10: MRR@10 on MS MARCO passage dev, 0 to 1.
        tokenizer_model: Repository of the tokenizer when it is not the model's own.
        requires_projection: True when a separate projection file must be loaded.
        batch_size_optimal: Batch size in texts.
        memory_mb_per_batch: Memory of one such batch in MB (10^6 bytes).
        gpu_recommended: True when a GPU is advised.
    """

    max_position_embeddings: int | None = None
    intermediate_dim: int | None = None
    has_projection: bool | None = None
    projection_dims: int | None = None
    files: tuple[ModelFile, ...] = ()
    quantizations: tuple[str, ...] = ()
    variants: tuple[ModelVariant, ...] = ()
    query_prompt: str | None = None
    document_prompt: str | None = None
    beir_avg: float | None = None
    beir_datasets: int | None = None
    ms_marco_mrr10: float | None = None
    tokenizer_model: str | None = None
    requires_projection: bool | None = None
    batch_size_optimal: int | None = None
    memory_mb_per_batch: float | None = None
    gpu_recommended: bool | None = None


@dataclass(frozen=True, kw_only=True)
class EmbeddingModel(EncoderModel):
    """A model that gives vectors: the base of `DenseModel`, `MultiVectorModel` and `SparseModel`.

    Attributes:
        embedding_dim: Size of one output vector in components; of a token's vector for late interaction, of the
            vocabulary for sparse models.
        multi_vector: True when the model gives one vector a token.
        matryoshka_dims: Sizes in components that an embedding may be cut to, ascending.
        similarity: Function that compares two embeddings, a `Similarity`.
        pooling: How token states become one vector, a `Pooling`.
        normalize: True when the model's own pipeline scales vectors to length 1.
        query_length: Tokens that queries are padded or cut to (late interaction).
        document_length: Tokens that documents are cut to (late interaction).
    """

    embedding_dim: int
    multi_vector: bool
    matryoshka_dims: tuple[int, ...] = ()
    similarity: str | None = None
    pooling: str | None = None
    normalize: bool | None = None
    query_length: int | None = None
    document_length: int | None = None

    @property
    def matryoshka(self) -> bool:
        """True when embeddings may be cut to the sizes in `matryoshka_dims`."""
        return bool(self.matryoshka_dims)


@dataclass(frozen=True, kw_only=True)
class DenseModel(EmbeddingModel):
    """An embedding model that gives one vector for a text."""


@dataclass(frozen=True, kw_only=True)
class MultiVectorModel(EmbeddingModel):
    """An embedding model that gives one vector for each token: late interaction, compared by MaxSim."""


@dataclass(frozen=True, kw_only=True)
class SparseModel(EmbeddingModel):
    """An embedding model that gives a weight for each entry of its vocabulary, most of them 0."""


@dataclass(frozen=True, kw_only=True)
class RerankerModel(EncoderModel):
    """A model that scores a query and a document together.

    Attributes:
        embedding_dim: `None`, unless the model also gives embeddings of this size.
    """

    embedding_dim: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChatModel(ModelInfo):
    """A chat model in one GGUF file.

    Attributes:
        file: The GGUF file.
        quantization: Storage format of its weights, a `Quantization`.
        base_model: Model that the file was converted or tuned from, `org/model` or a record's id.
        kv_heads: Key-value heads in a layer.
        head_dim: Size of one attention head in components, as stated: not `hidden_dim / heads`.
        sliding_window: Attention window in tokens of the windowed layers.
        ram_required_mb: Memory in MB (10^6 bytes) that the publisher or the registry asks for.
        template: Name of the chat template, a `Template`.
        stop_sequences: Strings that end an answer.
        default: True for the record that `get_default_model()` gives.
        defaults: How it samples unless the caller says otherwise.
        runtime: How it is loaded unless the caller says otherwise.
        adapters: LoRA adapters that fit it.
    """

    file: ModelFile
    quantization: str
    base_model: str | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    sliding_window: int | None = None
    ram_required_mb: int | None = None
    template: str | None = None
    stop_sequences: tuple[str, ...] = ()
    default: bool = False
    defaults: SamplingDefaults = SamplingDefaults()
    runtime: RuntimeDefaults = RuntimeDefaults()
    adapters: tuple[LoraAdapter, ...] = ()


@dataclass(frozen=True)
class RoleModel:
    """The model that a profile has for one role.

    Attributes:
        role: What the model is for, a `Role`.
        name: Id or alias of a record, else a name that the provider knows.
        provider: Who serves it: `ollama`, `local`, `openai`, `transformers`. `None`: not stated; a name that is no
            record's is Ollama's.
        auto_download: True when it may be fetched before the first call. `None`: not stated.
        parameters: Generation parameters by the provider's names: read-only, and empty where nothing is stated.
        description: What the role is for.
        fallback: Names of the models to try next, in order.
    """

    role: str
    name: str
    provider: str | None = None
    auto_download: bool | None = None
    parameters: Mapping[str, bool | float | str | tuple[str, ...]] = FrozenDict()
    description: str | None = None
    fallback: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profile:
    """A choice of models: one for each role that it knows.

    Attributes:
        name: Name in the registry.
        description: What the profile is for.
        models: The model of each role, by `Role` or its string: read-only, in the order of the roles.
    """

    name: str
    description: str | None = None
    models: Mapping[str, RoleModel] = FrozenDict()

"""The tiny models load and run in the libraries that the loaders stand on, called directly.

A loader's test that fails says something about the loader only as long as these pass.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny

TEXTS = ["the cat chase the mouse", "the tiger is a large cat", "bread and milk for the winter!"]
PROMPT = [{"role": "system", "content": "Talk like a fox."}, {"role": "user", "content": "hello"}]
needs_encoders = pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")
needs_llama = pytest.mark.skipif(
    find_spec("llama_cpp") is None or find_spec("gguf") is None, reason="needs llama-cpp-python and gguf"
)


def _load(kind: str, folder: Path) -> Any:
    import sentence_transformers

    return getattr(sentence_transformers, kind)(str(folder), local_files_only=True, device="cpu")


@contextmanager
def _llama(path: Path, **options: Any) -> Iterator[Any]:
    import llama_cpp

    model = llama_cpp.Llama(str(path), **({"n_ctx": 512, "n_threads": 1, "verbose": False} | options))
    try:
        yield model
    finally:
        model.close()


def _digests(folder: Path) -> dict[str, str]:
    files = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    return {path.name + path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@needs_encoders
@pytest.mark.parametrize(
    ("make", "kind", "options", "width"),
    [
        (tiny.dense, "SentenceTransformer", {}, 32),
        (tiny.dense, "SentenceTransformer", {"dim": 16, "projection": True, "normalize": False}, 16),
        (tiny.dense, "SentenceTransformer", {"weights": "pytorch"}, 32),
        (tiny.hub_dense, "SentenceTransformer", {"dim": 64, "pooling": "cls"}, 64),
        (tiny.bare, "SentenceTransformer", {}, 32),
        (tiny.splade, "SparseEncoder", {}, len(tiny.BERT_VOCAB)),
        (tiny.bare_splade, "SparseEncoder", {}, len(tiny.BERT_VOCAB)),
    ],
)
def test_encoder_loaded_gives_a_vector_of_its_width_for_each_text(
    tmp_path: Path, make: Callable[..., Path], kind: str, options: dict[str, Any], width: int
) -> None:
    model = _load(kind, make(tmp_path / "model", **options))
    assert tuple(model.encode(TEXTS).shape) == (len(TEXTS), width)
    assert model.max_seq_length == 64


@needs_encoders
def test_dense_in_the_layouts_of_two_versions_gives_the_same_vectors(tmp_path: Path) -> None:
    new, old = _load("SentenceTransformer", tiny.dense(tmp_path / "new")), tiny.hub_dense(tmp_path / "old")
    assert abs(new.encode(TEXTS) - _load("SentenceTransformer", old).encode(TEXTS)).max() == 0


@needs_encoders
def test_dense_ranks_texts_that_share_words_first(tmp_path: Path) -> None:
    model = _load("SentenceTransformer", tiny.dense(tmp_path / "model"))
    shares_cat, shares_the = model.similarity(model.encode(TEXTS[:1]), model.encode(TEXTS[1:]))[0]
    assert shares_cat > shares_the + 0.2


@needs_encoders
def test_dense_options_are_in_the_checkpoint(tmp_path: Path) -> None:
    options: dict[str, Any] = {"pooling": "cls", "normalize": False, "prompts": {"query": "q: "}, "similarity": "dot"}
    model = _load("SentenceTransformer", tiny.dense(tmp_path / "model", **options))
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling"]
    assert model[1].pooling_mode == "cls"
    assert (model.prompts["query"], model.similarity_fn_name) == ("q: ", "dot")


@needs_encoders
@pytest.mark.parametrize("make", [tiny.stanford_colbert, tiny.pylate_colbert, tiny.native_colbert])
def test_colbert_loaded_expands_queries_skips_punctuation_and_ranks(tmp_path: Path, make: Callable[..., Path]) -> None:
    model = _load("MultiVectorEncoder", make(tmp_path / "model"))
    queries, documents = model.encode_query(TEXTS), model.encode_document([*TEXTS, "cat " * 100])
    assert [tuple(query.shape) for query in queries] == [(16, 16)] * 3
    # [CLS], the prefix, the words, [SEP]; `bread` is one of them and `!` is skipped
    assert [len(document) for document in documents] == [8, 9, 9, 32]
    assert model.similarity(queries, documents).argmax(dim=1).tolist() == [0, 1, 2]
    prefix = model.prompts["query"]
    assert model.tokenizer.tokenize(f"{prefix}cat") in ([prefix, "cat"], [prefix.strip(), "cat"])


@needs_encoders
def test_native_colbert_gives_the_vectors_of_stanford_colbert(tmp_path: Path) -> None:
    makes = (tiny.stanford_colbert, tiny.native_colbert)
    one, other = (_load("MultiVectorEncoder", make(tmp_path / make.__name__)) for make in makes)
    for mine, theirs in zip(one.encode_document(TEXTS), other.encode_document(TEXTS), strict=True):
        assert abs(mine - theirs).max() < 1e-6


@needs_encoders
def test_splade_activates_the_words_of_the_text_and_few_others(tmp_path: Path) -> None:
    model = _load("SparseEncoder", tiny.splade(tmp_path / "model"))
    (found,) = model.decode(model.encode(TEXTS[:1]))
    words = {word for word, _ in found}
    assert {"cat", "chase", "mouse"} <= words
    assert len(words) < 40


@needs_encoders
def test_reranker_loaded_gives_each_pair_a_score(tmp_path: Path) -> None:
    model = _load("CrossEncoder", tiny.reranker(tmp_path / "model"))
    scores = model.predict([(TEXTS[0], text) for text in TEXTS])
    assert scores.shape == (3,)
    assert len(set(scores.tolist())) == 3
    assert all(0 < score < 1 for score in scores)


@needs_encoders
@pytest.mark.parametrize("make", [tiny.dense, tiny.stanford_colbert, tiny.pylate_colbert, tiny.splade, tiny.reranker])
def test_checkpoint_made_twice_is_the_same(tmp_path: Path, make: Callable[..., Path]) -> None:
    assert _digests(make(tmp_path / "a" / "model")) == _digests(make(tmp_path / "b" / "model"))


@needs_encoders
def test_dense_in_pytorch_files_has_no_safetensors(tmp_path: Path) -> None:
    folder = tiny.dense(tmp_path / "model", weights="pytorch")
    assert [path.name for path in folder.rglob("*") if path.suffix in {".bin", ".safetensors"}] == ["pytorch_model.bin"]


@needs_encoders
@needs_llama
def test_embedding_gguf_gives_the_vectors_of_dense(tmp_path: Path) -> None:
    expected = _load("SentenceTransformer", tiny.dense(tmp_path / "model")).encode(TEXTS)
    with _llama(tiny.embedding_gguf(tmp_path / "model.gguf"), embedding=True) as model:
        vectors = model.embed(TEXTS, normalize=True)
    cosines = (expected * vectors).sum(axis=1)
    assert cosines.min() > 0.9999


@needs_llama
def test_embedding_gguf_with_pooling_rank_scores(tmp_path: Path) -> None:
    with _llama(tiny.embedding_gguf(tmp_path / "rank.gguf", pooling="rank"), embedding=True) as model:
        scores = [model.embed(text)[0] for text in TEXTS]
    assert len(set(scores)) == 3


SCRIPT = ["<think>", "hm", "</think>", "\n\n", "Hel", "lo", " wor", "ld", ", Hel", "lo", "<0xE2>", "<0x82>", "<0xAC>"]
SAID = "<think>hm</think>\n\nHello world, Hello€"


@needs_llama
@pytest.mark.parametrize("vocab", ["spm", "bpe"])
@pytest.mark.parametrize("hidden", [64, 256])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_scripted_chat_says_its_script_and_ends(tmp_path: Path, vocab: Any, hidden: int, temperature: float) -> None:
    path = tiny.chat_gguf(tmp_path / "chat.gguf", script=SCRIPT, vocab=vocab, hidden=hidden)
    with _llama(path) as model:
        for messages in (PROMPT, [*PROMPT, {"role": "assistant", "content": SAID}, PROMPT[1]]):
            answer = model.create_chat_completion(messages, temperature=temperature, max_tokens=50)
            assert answer["choices"][0]["message"]["content"] == SAID
            assert answer["choices"][0]["finish_reason"] == "stop"
            assert answer["usage"]["completion_tokens"] == len(SCRIPT)


@needs_llama
def test_scripted_chat_streams_one_piece_a_chunk(tmp_path: Path) -> None:
    script = ["a", "b<|im_", "start|>", "<|im_start|>", "c"]
    with _llama(tiny.chat_gguf(tmp_path / "chat.gguf", script=script)) as model:
        chunks = model.create_chat_completion(PROMPT, stream=True)
        said = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert [piece for piece in said if piece] == ["a", "b<|im_", "start|>", "c"]


@needs_llama
def test_scripted_chat_of_a_long_text_says_it(tmp_path: Path) -> None:
    text = "one two three one two one two four. The end? Yes, the end? Yes.\n" * 3 + " Ж日本🎉 "
    with _llama(tiny.chat_gguf(tmp_path / "chat.gguf", script=text)) as model:
        answer = model("hello", max_tokens=400)["choices"][0]
    assert (answer["text"], answer["finish_reason"]) == (text, "stop")


@needs_llama
def test_repeating_chat_goes_on_until_it_is_stopped(tmp_path: Path) -> None:
    with _llama(tiny.chat_gguf(tmp_path / "chat.gguf", script=["la ", "la ", "li "], repeat=True)) as model:
        answer = model("hello", max_tokens=7)["choices"][0]
    assert (answer["text"], answer["finish_reason"]) == ("la la li la la li la ", "length")


@needs_llama
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (["a", ""], "A script needs pieces, none of them empty, got ['a', '', '<|im_end|>']."),
        (
            ["a", "b", "a", "b", "</s>"],
            "A script says each pair of pieces once: join or cut ('a', 'b') in ['a', 'b', 'a', 'b', '</s>'].",
        ),
    ],
)
def test_script_that_cannot_be_said_is_refused(tmp_path: Path, script: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tiny.chat_gguf(tmp_path / "chat.gguf", script=script)


@needs_llama
def test_chat_with_an_empty_script_says_nothing(tmp_path: Path) -> None:
    with _llama(tiny.chat_gguf(tmp_path / "chat.gguf", script=[])) as model:
        assert model("hello", max_tokens=7)["choices"][0]["text"] == ""


@needs_llama
def test_unscripted_chat_depends_on_the_prompt_and_says_words_for_ever(tmp_path: Path) -> None:
    with _llama(tiny.chat_gguf(tmp_path / "chat.gguf")) as model:
        said = [model(prompt, max_tokens=12, temperature=0)["choices"][0] for prompt in ("hello", "the cat")]
        again = model("hello", max_tokens=12, temperature=0)["choices"][0]
    assert said[0]["text"] != said[1]["text"]
    assert again == said[0]
    assert set(said[0]["text"].split()) <= set(tiny.WORDS)
    assert said[0]["finish_reason"] == "length"


@needs_llama
@pytest.mark.parametrize("vocab", ["spm", "bpe"])
def test_chat_tokenizer_spells_any_text_and_tells_control_tokens_from_text(tmp_path: Path, vocab: Any) -> None:
    text = " héllo wörld\n\n\t日本 🎉 the animal <|im_end|></s>".encode()
    with _llama(tiny.chat_gguf(tmp_path / "chat.gguf", vocab=vocab)) as model:
        assert model.detokenize(model.tokenize(text, add_bos=False)) == text
        assert len(model.tokenize(b"<|eot_id|>", add_bos=False, special=True)) == 1
        assert len(model.tokenize(b"<|eot_id|>", add_bos=False, special=False)) == 10
        assert len(model.tokenize(b"<think>", add_bos=False)) == 1
        assert len(model.tokenize(b" animal", add_bos=False)) == 1


@needs_llama
def test_chat_metadata_is_what_was_asked_for(tmp_path: Path) -> None:
    path = tiny.chat_gguf(
        tmp_path / "chat.gguf",
        template=None,
        bos=False,
        eos_token="</s>",
        context_length=128,
        name="Mine",
        metadata={"general.version": "7"},
    )
    with _llama(path) as model:
        metadata = model.metadata
        assert model.chat_format == "llama-2"
    assert "tokenizer.chat_template" not in metadata
    assert metadata["tokenizer.ggml.add_bos_token"] == "false"
    assert metadata["tokenizer.ggml.eos_token_id"] == "2"
    assert metadata["llama.context_length"] == "128"
    assert (metadata["general.name"], metadata["general.version"]) == ("Mine", "7")


@needs_llama
@pytest.mark.parametrize(("script", "expected"), [("Hello world, hello.", " hello."), (None, " a a a")])
def test_adapter_changes_what_is_said(tmp_path: Path, script: str | None, expected: str) -> None:
    base = tiny.chat_gguf(tmp_path / "base.gguf", script=script)
    adapter = tiny.lora_gguf(tmp_path / "adapter.gguf", base)
    with _llama(base) as model:
        assert model("hello", max_tokens=3, temperature=0)["choices"][0]["text"] != expected
    with _llama(base, lora_path=str(adapter)) as model:
        assert model("hello", max_tokens=3, temperature=0)["choices"][0]["text"] == expected


@needs_llama
@pytest.mark.parametrize(("hidden", "architecture"), [(128, "llama"), (64, "qwen2")])
def test_adapter_of_another_model_is_refused_without_a_word(tmp_path: Path, hidden: int, architecture: str) -> None:
    base, other = tiny.chat_gguf(tmp_path / "base.gguf"), tiny.chat_gguf(tmp_path / "other.gguf", hidden=hidden)
    adapter = tiny.lora_gguf(tmp_path / "adapter.gguf", other, architecture=architecture)
    with _llama(base, lora_path=str(adapter)) as model:
        # llama-cpp-python compares the null pointer with None and goes on; to generate now is a segmentation fault.
        assert not model._lora_adapter


@needs_llama
def test_gguf_files_made_twice_are_the_same(tmp_path: Path) -> None:
    base = tiny.chat_gguf(tmp_path / "base.gguf")
    makes: list[Callable[[Path], Path]] = [
        tiny.chat_gguf,
        lambda path: tiny.chat_gguf(path, script="Hi.", vocab="bpe"),
        tiny.embedding_gguf,
        lambda path: tiny.lora_gguf(path, base),
    ]
    for make in makes:
        assert make(tmp_path / "a.gguf").read_bytes() == make(tmp_path / "b.gguf").read_bytes()


def test_records_describe_the_models(tmp_path: Path) -> None:
    path = tmp_path / "chat.gguf"
    path.write_bytes(b"GGUF")
    chat = tiny.chat_record(path, id="mine", adapters=(tiny.adapter_record(path, base_model="mine"),))
    assert (chat.id, chat.file.size_bytes, chat.adapters[0].file.sha256) == ("mine", 4, chat.file.sha256)
    assert chat.file.sha256 == hashlib.sha256(b"GGUF").hexdigest()
    assert tiny.dense_record(embedding_dim=8).embedding_dim == 8
    assert (tiny.colbert_record().embedding_dim, tiny.colbert_record().query_length) == (16, 16)
    assert tiny.splade_record().embedding_dim == len(tiny.BERT_VOCAB)
    assert tiny.reranker_record().model_type == "reranker"

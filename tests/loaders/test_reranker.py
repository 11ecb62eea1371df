from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny

np = pytest.importorskip("numpy")

from registry.errors import (  # noqa: E402 - NumPy may be absent
    InvalidInputError,
    InvalidOptionError,
    ModelClosedError,
    ModelLoadError,
)
from registry.loaders import Ranked, Reranker, TruncationWarning, load  # noqa: E402

pytestmark = pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")

QUERY = "where do cats live"
TEXTS = ["the cat chase the mouse", "", "the tiger is a large cat", "bread, and milk!", "Ж 日本 🎉", "house"]


@pytest.fixture
def reranker(made: Callable[..., Path], opened: Callable[..., Any]) -> Reranker:
    found: Reranker = opened(tiny.reranker_record(), path=made(tiny.reranker))
    return found


def theirs(folder: Path, query: str = QUERY, texts: list[str] = TEXTS, **options: Any) -> Any:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), local_files_only=True, device="cpu", **options)
    return model.predict([(query, text) for text in texts], batch_size=1)


def saved_by_the_library(folder: Path) -> Path:
    """Make the checkpoint that the installed `CrossEncoder` itself saves."""
    from sentence_transformers import CrossEncoder

    bare = tiny.reranker(folder.with_name("bare"))
    CrossEncoder(str(bare), local_files_only=True).save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.mark.parametrize("layout", [tiny.reranker, saved_by_the_library])
def test_scores_are_those_of_sentence_transformers(
    made: Callable[..., Path], opened: Callable[..., Any], layout: Callable[..., Path]
) -> None:
    mine = opened(tiny.reranker_record(), path=made(layout))
    expected = theirs(made(layout))
    found = mine.score(QUERY, TEXTS)
    assert (found.dtype, found.shape) == (np.float32, (len(TEXTS),))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    ranked = mine.rank(QUERY, TEXTS)
    assert [each.index for each in ranked] == np.argsort(-expected).tolist()
    assert [each.score for each in ranked] == pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-5)
    assert mine.rank(QUERY, TEXTS, top_k=2) == ranked[:2]
    assert (type(ranked[0]), type(ranked[0].score)) == (Ranked, float)


def test_activation_of_the_checkpoint_is_applied(
    made: Callable[..., Path], copied: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    import json

    probabilities = opened(tiny.reranker_record(), path=made(tiny.reranker)).score(QUERY, TEXTS)
    folder = copied(tiny.reranker)
    settings = json.loads((folder / "config.json").read_text())
    settings["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
    (folder / "config.json").write_text(json.dumps(settings))
    found = opened(tiny.reranker_record(), path=folder).score(QUERY, TEXTS)
    np.testing.assert_allclose(found, theirs(folder), rtol=0, atol=1e-5)
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), probabilities, rtol=0, atol=1e-5)


def test_no_documents_have_no_scores(reranker: Reranker) -> None:
    assert reranker.score(QUERY, []).shape == (0,)
    assert reranker.rank(QUERY, []) == []


def test_what_is_no_query_and_no_documents_is_refused(reranker: Reranker) -> None:
    given: list[tuple[Any, Any, str]] = [
        (None, TEXTS, "`query`: expected a string, got None."),
        ([QUERY], TEXTS, f"`query`: expected a string, got {[QUERY]}."),
        (QUERY, "text", "`documents`: expected a list of strings, got one str. Write it as `[text]`."),
        (QUERY, None, "`documents`: expected a list of strings, got None. Write it as `[text]`."),
        (QUERY, ["a", b"b"], "`documents[1]`: expected a string, got one bytes."),
    ]
    for method in (reranker.rank, reranker.score):
        for query, documents, message in given:
            with pytest.raises(InvalidInputError) as caught:
                method(query, documents)
            assert str(caught.value) == message
    with pytest.raises(InvalidInputError, match="`query`: expected text, got half of a surrogate pair"):
        reranker.rank("\ud800", TEXTS)


def test_long_pairs_are_cut_and_reported(reranker: Reranker, made: Callable[..., Path]) -> None:
    texts = ["cat", "cat " * 100_000]
    message = "1 of 2 pairs of query and document are longer than the 128 tokens that `tiny-reranker` reads"
    with pytest.warns(TruncationWarning, match=message) as caught:
        found = reranker.score("mouse", texts)
    assert "the longest has 100004." in str(caught[0].message)
    assert Path(caught[0].filename) == Path(__file__)
    np.testing.assert_allclose(found, theirs(made(tiny.reranker), "mouse", texts), rtol=0, atol=1e-5)


def test_batches_and_threads_change_no_score(
    reranker: Reranker, made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    texts = [" ".join(tiny.WORDS[i : i + (i * 7) % 25]) for i in range(20)]
    expected = theirs(made(tiny.reranker), texts=texts)
    for options in ({"batch_size": 1, "threads": 2}, {"batch_size": 100, "threads": 1}, {"context_length": 128}):
        found = opened(tiny.reranker_record(), path=made(tiny.reranker), **options).score(QUERY, texts)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: reranker.score(QUERY, texts), range(8)):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_use_after_close_is_refused(made: Callable[..., Path]) -> None:
    with load(tiny.reranker_record(), path=made(tiny.reranker)) as mine:
        assert mine.count_tokens(["the cat", ""]) == [4, 2]
    uses: list[Callable[[], Any]] = [
        lambda: mine.rank("a", ["b"]),
        lambda: mine.score("a", ["b"]),
        lambda: mine.score("a", []),
        lambda: mine.count_tokens(["a"]),
    ]
    for use in uses:
        with pytest.raises(ModelClosedError):
            use()


def test_classifier_of_several_labels_is_refused(made: Callable[..., Path]) -> None:
    folder = made(tiny.reranker, labels=3)
    with pytest.raises(ModelLoadError) as caught:
        load(tiny.reranker_record(), path=folder)
    assert str(caught.value) == f"Cannot load `tiny-reranker` from `{folder}`: labels: expected 1, a score, got 3."


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        (
            "classifier",
            (
                "head: expected a classification head, got none in the weights. "
                "Loading it would add a head of random numbers."
            ),
        ),
        (
            "pooler",
            (
                "weights: expected a tensor for each parameter, got none for bert.pooler.dense.bias, "
                "bert.pooler.dense.weight. Those would be random numbers. "
                "The files are incomplete, or of another model."
            ),
        ),
    ],
)
def test_checkpoint_without_its_head_is_refused(copied: Callable[..., Path], gone: str, message: str) -> None:
    from safetensors.numpy import load_file, save_file

    folder = copied(tiny.reranker)
    weights = {name: weight for name, weight in load_file(folder / "model.safetensors").items() if gone not in name}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError) as caught:
        load(tiny.reranker_record(), path=folder)
    assert str(caught.value) == f"Cannot load `tiny-reranker` from `{folder}`: {message}"


def test_option_that_means_nothing_is_refused(made: Callable[..., Path]) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        load(tiny.reranker_record(), path=made(tiny.reranker), truncate_dim=8)
    assert str(caught.value) == (
        "`truncate_dim`: expected to be left out, got 8. It means nothing to `tiny-reranker`, which is a reranker. "
        "Its options are allow_remote_code, batch_size, context_length, device, download, dtype, progress, threads."
    )

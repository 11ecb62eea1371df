from typing import Any

import pytest

from registry_build.rows import ATTRIBUTES, EMBEDDING, class_of, role_row


def _record(model_type: str, *, multi_vector: bool) -> dict[str, Any]:
    return {"type": model_type, "capabilities": {"multi_vector": multi_vector}}


@pytest.mark.parametrize(
    ("model_type", "multi_vector", "class_name"),
    [
        ("dense", False, "DenseModel"),
        ("colbert", True, "MultiVectorModel"),
        ("colbert", False, "DenseModel"),  # what a record says of itself counts, not how its type sounds
        ("dense", True, "MultiVectorModel"),
        ("sparse", False, "SparseModel"),
        ("learned-sparse", False, "SparseModel"),
        ("sparse-colbert", True, "MultiVectorModel"),
        ("nonsparse", False, "DenseModel"),
        ("reranker", False, "RerankerModel"),
        ("sparse-reranker", True, "RerankerModel"),
        ("reranker-sparse", False, "SparseModel"),
    ],
)
def test_class_of_an_encoder_follows_from_type_and_multi_vector(
    model_type: str, multi_vector: bool, class_name: str
) -> None:
    assert class_of(_record(model_type, multi_vector=multi_vector)) == class_name


def test_class_of_a_record_with_one_file_is_a_chat_model() -> None:
    assert class_of({"type": "chat", "file": {"name": "a.gguf"}, "capabilities": {}}) == "ChatModel"


def test_embedding_classes_have_the_same_attributes() -> None:
    assert set(ATTRIBUTES) >= EMBEDDING
    assert all(ATTRIBUTES[name] == ATTRIBUTES["DenseModel"] for name in EMBEDDING)


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("a", ("a", None, None, None, None, None)),
        ({"name": "a"}, ("a", None, None, None, None, None)),
        ({"name": "a", "parameters": {}, "fallback": []}, ("a", None, None, None, None, None)),
        ({"name": "a", "auto_download": False, "description": ""}, ("a", None, False, None, "", None)),
        (
            {"name": "a", "provider": "b", "parameters": {"z": [], "y": ["c"], "x": 1}, "fallback": ["e", "d"]},
            ("a", "b", None, {"x": 1, "y": ("c",), "z": ()}, None, ("e", "d")),
        ),
    ],
)
def test_row_of_a_role_has_what_is_stated(model: str | dict[str, Any], row: tuple[object, ...]) -> None:
    assert role_row(model) == row

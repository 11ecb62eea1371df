import pytest

from registry_build.vocabulary import VOCABULARIES, values_at

RECORD = {
    "type": "colbert",
    "license": None,
    "capabilities": {"languages": ["en", "de"]},
    "variants": [{"quantization": "int8"}, {}, {"quantization": "fp16"}],
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("type", [(("type",), "colbert")]),
        ("license", [(("license",), None)]),
        (
            "capabilities.languages",
            [(("capabilities", "languages", 0), "en"), (("capabilities", "languages", 1), "de")],
        ),
        (
            "variants.*.quantization",
            [(("variants", 0, "quantization"), "int8"), (("variants", 2, "quantization"), "fp16")],
        ),
        ("missing", []),
        ("type.deeper", []),
        ("capabilities.missing", []),
    ],
)
def test_values_at_a_path_come_with_their_places(path: str, values: list[object]) -> None:
    assert list(values_at(RECORD, path)) == values


def test_values_at_something_that_is_no_record_gives_nothing() -> None:
    assert list(values_at("text", "a.b")) == []


def test_vocabulary_attribute_belongs_to_one_enum() -> None:
    attributes = [name for vocabulary in VOCABULARIES for name in vocabulary.attributes]

    assert len(attributes) == len(set(attributes))

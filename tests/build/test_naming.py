import unicodedata
from keyword import iskeyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_build.naming import constant_name, is_name, member_name


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("colbert-v2", "COLBERT_V2"),
        ("qwen2.5-coder-7b-q5_k_m", "QWEN2_5_CODER_7B_Q5_K_M"),
        ("all-minilm-l6-v2", "ALL_MINILM_L6_V2"),
        ("3b", "MODEL_3B"),
        ("a--b__c", "A_B_C"),
        ("-a-", "A"),
        ("!?", ""),
        ("", ""),
        ("straße", "STRASSE"),
        ("ﬁne", "FINE"),
        ("½", "MODEL_1_2"),
        ("名前", "名前"),
    ],
)
def test_constant_name_of_an_id_reads_as_people_say_it(model_id: str, name: str) -> None:
    assert constant_name(model_id) == name


@pytest.mark.parametrize(
    ("enum", "value", "name"),
    [
        ("License", "Apache-2.0", "APACHE_2_0"),
        ("Organization", "01-ai", "ORGANIZATION_01_AI"),
        ("Language", "zh-Hans", "ZH_HANS"),
        ("Template", "mistral-v3-tekken", "MISTRAL_V3_TEKKEN"),
    ],
)
def test_member_name_of_a_value_starts_with_the_enum_where_it_must(enum: str, value: str, name: str) -> None:
    assert member_name(enum, value) == name


@pytest.mark.parametrize(
    ("name", "expected"), [("A_B", True), ("", False), ("1A", False), ("a b", False), ("if", False)]
)
def test_is_name_tells_what_an_assignment_may_name(name: str, expected: bool) -> None:
    assert is_name(name) is expected


@given(st.text(max_size=20))
def test_member_name_of_any_text_is_refused_or_works_in_an_enum(text: str) -> None:
    name = member_name("Tag", text)

    if is_name(name):
        space: dict[str, object] = {}
        exec(f"from enum import StrEnum\nclass Tag(StrEnum):\n    {name} = 'x'\n", space)
        assert list(space["Tag"].__members__) == [name]
        assert name == unicodedata.normalize("NFKC", name)
        assert not iskeyword(name)


@given(st.from_regex(r"\A[a-z0-9]+([._-][a-z0-9]+)*\Z"))
def test_constant_name_of_a_valid_id_is_always_a_name(model_id: str) -> None:
    assert is_name(constant_name(model_id))

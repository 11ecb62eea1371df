"""Templates in Go's language: the same prompt as ours, for every conversation."""

import pytest

pytest.importorskip("hypothesis")
from hypothesis import example, given
from hypothesis import strategies as st

from registry.chat import render
from registry.chat.templates import TEMPLATES, Template, Turn
from registry.configs.go_template import go_template, unsayable

from .readers import run_go_template

SAYABLE = sorted(name for name, template in TEMPLATES.items() if unsayable(template) is None)
# What is trimmed has no white space round it: that is the one thing that Go cannot say.
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).map(str.strip).filter(bool)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, str]]:
    """Give a conversation that ends with a user's message."""
    messages = [{"role": "system", "content": draw(TEXTS)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 3))):
        messages += [{"role": "user", "content": draw(TEXTS)}, {"role": "assistant", "content": draw(TEXTS)}]
    return [*messages, {"role": "user", "content": draw(TEXTS)}]


def test_all_but_two_templates_of_the_catalogue_can_be_said() -> None:
    assert sorted(TEMPLATES.keys() - set(SAYABLE)) == ["deepseek-v3", "harmony"]


@pytest.mark.parametrize("name", SAYABLE)
@given(messages=conversations())
@example(messages=[{"role": "user", "content": "{{ .System }}"}])
@example(messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}])
def test_template_in_go_writes_the_same_prompt(name: str, messages: list[dict[str, str]]) -> None:
    expected = render(messages, name).removeprefix(TEMPLATES[name].bos)

    assert run_go_template(go_template(TEMPLATES[name]), messages) == expected


@pytest.mark.parametrize("name", [name for name in SAYABLE if TEMPLATES[name].generation_prompt])
def test_template_in_go_writes_an_answer_at_the_end_as_ours_does(name: str) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]

    expected = render(messages, name).removeprefix(TEMPLATES[name].bos)

    assert run_go_template(go_template(TEMPLATES[name]), messages) == expected


def test_braces_of_a_template_stand_as_they_are() -> None:
    template = Template(
        name="x", source="x", user=Turn("{{ .System }}", ""), assistant=Turn("", ""), generation_prompt=""
    )

    assert run_go_template(go_template(template), [{"role": "user", "content": "Hi"}]) == "{{ .System }}Hi"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("harmony", "its answers come in channels, and its head has options"),
        ("deepseek-v3", "it takes thoughts out of earlier answers"),
    ],
)
def test_template_that_go_cannot_say_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^`{name}` has no equal in Go's template language: {reason}.$"):
        go_template(TEMPLATES[name])


@pytest.mark.parametrize("text", ["a\u00a0b", "a\rb", '"""'])
def test_template_with_text_that_a_modelfile_loses_cannot_be_said(text: str) -> None:
    template = Template(name="x", source="x", user=Turn(text, ""), assistant=Turn("", ""), generation_prompt="")

    assert unsayable(template) == "it has characters that a Modelfile loses"

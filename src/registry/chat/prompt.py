"""A prompt in pieces that say which text is the template's and which is a message's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Piece(NamedTuple):
    """One stretch of a prompt.

    Attributes:
        text: The text.
        markup: True for text of the template, in which control tokens are to be recognised. False for text of a
            message, in which they are not: a message that contains `<|eot_id|>` stays text.
    """

    text: str
    markup: bool


@dataclass(frozen=True)
class Prompt:
    """What a model is given, and what is known about the answer to it.

    Attributes:
        pieces: The prompt, in order.
        template: Name of the template that made it; `gguf` for the one in the model's file.
        stops: Texts that end the answer: the template's own, and the markers with which a new turn would begin.
        bos: The text at the start of the prompt that stands for the token at the beginning of a sequence. Empty: the
            template prints none, and the tokenizer adds one where the model wants it.
        reasoning_open: True when the prompt ends inside a block of reasoning, so that the answer begins with thoughts.
        reasoning: Markers round the thoughts in an answer; `None` where the template knows none.
        role_markers: Markers of the assistant's own turn, which some models repeat at the start of the answer.
        channels: True when the answer comes in the channels of OpenAI's harmony format.
    """

    pieces: tuple[Piece, ...]
    template: str
    stops: tuple[str, ...] = ()
    bos: str = ""
    reasoning_open: bool = False
    reasoning: tuple[str, str] | None = None
    role_markers: tuple[str, ...] = ()
    channels: bool = False

    @property
    def text(self) -> str:
        """The whole prompt as one string."""
        return "".join(piece.text for piece in self.pieces)

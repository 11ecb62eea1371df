"""The chat templates of the catalogue's families in Go's template language, as Ollama runs them.

Ollama gives a template the messages, those of one role in a row as one, and all system texts together. The token at the
beginning is the vocabulary's business there, so no template prints it.
"""

from __future__ import annotations

from collections.abc import Iterator

from registry.chat.templates import Template, Turn

_SYSTEM = "{{ $.System }}"


def unsayable(template: Template) -> str | None:
    """Say what of a template Go's language, with what Ollama gives it, cannot say; `None`: all can be said."""
    if template.channels or template.options:
        return "its answers come in channels, and its head has options"
    if template.drop_reasoning:
        return "it takes thoughts out of earlier answers"
    if any(not _is_plain(text) for text in _texts(template)):
        return "it has characters that a Modelfile loses"
    return None


def go_template(template: Template) -> str:
    """Write a template in Go's language.

    What `registry.chat.render` makes of a conversation, and what Ollama makes of it with this, is the same text, but
    for: the token at the beginning; white space round messages, which some templates take away and Go cannot; tools.

    Raises:
        ValueError: It cannot be said: see `unsayable`.
    """
    if reason := unsayable(template):
        raise ValueError(f"`{template.name}` has no equal in Go's template language: {reason}.")
    merged = template.system is not None and template.system_place != "turn"
    parts = [_placed(template)] if merged else []
    parts += [_head(template, merged=merged), "{{ range $i, $m := .Messages }}", _user(template, merged=merged)]
    parts += [_assistant(template), "{{ end }}", _literal(template.generation_prompt)]
    return "".join(parts)


def _placed(template: Template) -> str:
    """Find the user message that takes the system text: the first or the last."""
    seen = "{{ $at = $i }}"
    if template.system_place == "first_user":
        seen = "{{ if lt $at 0 }}{{ $at = $i }}{{ end }}"
    users = _either('eq $m.Role "user"', seen, "")
    return f"{{{{ $at := -1 }}}}{{{{ range $i, $m := .Messages }}}}{users}{{{{ end }}}}"


def _head(template: Template, *, merged: bool) -> str:
    said = _literal(template.head_with_system)
    if template.system is not None and not merged:
        said += _around(template.system, _SYSTEM)
    return _either("$.System", said, _literal(template.head))


def _user(template: Template, *, merged: bool) -> str:
    plain = _around(template.user, "{{ $m.Content }}")
    text = plain
    if template.user_with_system is not None:
        text = _either("$.System", _around(template.user_with_system, "{{ $m.Content }}"), plain)
    elif merged and template.system is not None:
        system = _either("eq $i $at", _either("$.System", _around(template.system, _SYSTEM), ""), "")
        text = f"{_literal(template.user.before)}{system}{{{{ $m.Content }}}}{_literal(template.user.after)}"
    return _either('eq $m.Role "user"', text, "")


def _assistant(template: Template) -> str:
    turn = template.assistant
    end = _literal(turn.after)
    if template.assistant_end is not None:
        end = _either("eq (len (slice $.Messages $i)) 1", _literal(template.assistant_end), end)
    return _either('eq $m.Role "assistant"', f"{_literal(turn.before)}{{{{ $m.Content }}}}{end}", "")


def _either(condition: str, then: str, otherwise: str) -> str:
    if then == otherwise:
        return then
    if not otherwise:
        return f"{{{{ if {condition} }}}}{then}{{{{ end }}}}"
    return f"{{{{ if {condition} }}}}{then}{{{{ else }}}}{otherwise}{{{{ end }}}}"


def _around(turn: Turn, content: str) -> str:
    return f"{_literal(turn.before)}{content}{_literal(turn.after)}"


def _literal(text: str) -> str:
    """Write a text that shall stand as it is."""
    return text.replace("{{", '{{ "{{" }}')


def _texts(template: Template) -> Iterator[str]:
    yield from (template.head, template.head_with_system, template.generation_prompt, template.assistant_end or "")
    for turn in (template.user, template.assistant, template.system, template.user_with_system):
        yield from turn or ()


def _is_plain(text: str) -> bool:
    """Ollama's parser keeps printable characters, blanks and ends of lines, and drops all others."""
    return all(sign.isprintable() or sign in "\n\t" for sign in text) and '"""' not in text

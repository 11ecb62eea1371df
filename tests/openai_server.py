"""A small server that speaks OpenAI's API on loopback, for tests: honest, or with the faults of `ollama_server`.

`with OpenAIServer() as peer: peer.add("gpt-oss", ["Hello", " there"])`, then `OpenAIProvider(peer.base_url)`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ollama_server import Handler, Model, Ollama, vector


class OpenAIServer(Ollama):
    """The server.

    Attributes:
        owner: Who owns its models, as it lists them: some servers say what they are by that.
        ends_with_done: False to leave out the mark at the end of an answer, and what it has used.
        lists: False to have no list of models.
    """

    owner = "organization-owner"
    ends_with_done = True
    lists = True

    @property
    def base_url(self) -> str:
        return f"{self.host}/v1"

    def add(self, name: str, *given: Any, **more: Any) -> Model:
        model = self.models[name] = Model(*given, **more)
        return model

    def handler(self) -> type[Handler]:
        return _Handler


class _Handler(Handler):
    ollama: OpenAIServer
    line_type = "text/event-stream"

    def route(self) -> None:
        peer, token = self.ollama, self.ollama.token
        if self.did.status is not None or self.did.hang_up:
            super().route()
        elif token is not None and self.seen.headers.get("authorization") != f"Bearer {token}":
            self.send(401, {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}})
        elif self.path == "/v1/models" and peer.lists:
            listed = [{"id": name, "object": "model", "created": 0, "owned_by": peer.owner} for name in peer.models]
            self.send(200, {"object": "list", "data": listed})
        elif self.path in ("/v1/chat/completions", "/v1/embeddings"):
            self.with_model()
        else:
            self.send(404, {"error": {"message": "Not Found"}})

    def with_model(self) -> None:
        name = self.seen.body["model"]
        model = self.ollama.models.get(name)
        if model is None:
            error = {"message": f"The model `{name}` does not exist.", "code": "model_not_found"}
            self.send(404, {"error": error})
        elif self.path == "/v1/embeddings":
            size = self.seen.body.get("dimensions") or model.dimensions
            texts = self.seen.body["input"]
            data = [{"index": at, "embedding": vector(text, size)} for at, text in enumerate(texts)]
            self.send(200, {"object": "list", "data": data[::-1], "model": name})
        else:
            self.send_lines(_chunks(self.ollama, name, model, self.seen.body))

    def encoded(self, line: dict[str, Any]) -> bytes:
        if line.get("comment"):
            return b": " + line["comment"].encode() + b"\n\n"
        text = "[DONE]" if line.get("done") else json.dumps(line, ensure_ascii=False)
        return f"data: {text}\n\n".encode()


def _chunks(peer: OpenAIServer, name: str, model: Model, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": name, "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    yield {"comment": "still there"}
    yield from (chunk({"reasoning_content": text}) for text in model.thinking)
    pieces = [] if body.get("tools") and model.tool_calls else list(model.pieces)[: body.get("max_tokens")]
    if not pieces:
        for number, (called, arguments) in enumerate(model.tool_calls):
            function = {"name": called, "arguments": ""}
            call = {"index": number, "id": f"call-{number}", "type": "function", "function": function}
            yield chunk({"tool_calls": [call]})
            yield chunk({"tool_calls": [{"index": number, "function": {"arguments": json.dumps(arguments)}}]})
    yield from (chunk({"content": text}) for text in pieces)
    reason = model.done_reason if pieces else "tool_calls"
    yield chunk({}, "length" if 0 < len(pieces) < len(model.pieces) else reason)
    if peer.ends_with_done:
        used = {"prompt_tokens": model.prompt_tokens, "completion_tokens": len(pieces), "total_tokens": 0}
        yield {"id": "chatcmpl-1", "created": 5, "model": name, "choices": [], "usage": used}
        yield {"done": True}

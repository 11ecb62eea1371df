"""The list of models, through the official client."""

from pathlib import Path
from typing import Any

import openai
import pytest
import tiny

from registry.records import Profile, RoleModel
from server.v1.served import Serve


def test_models_are_listed_with_what_is_known_of_them(serve: Serve) -> None:
    chat = serve.chat(record={"aliases": ("little",), "license": "MIT", "release_date": "2024-05"})
    dense = tiny.dense_record(matryoshka_dims=(8, 16), capabilities=("semantic-search",))
    profile = Profile("default", None, {"general": RoleModel("general", "tiny-chat")})
    served = serve(chat, dense, roles={"coding": "little"}, profiles=(profile,))
    assert [model.to_dict() for model in served.client.models.list()] == [
        {
            "id": "tiny-chat",
            "object": "model",
            "created": 1714521600,
            "owned_by": "Tiny",
            "name": "Tiny chat",
            "type": "chat",
            "context_length": 512,
            "embedding_dim": None,
            "matryoshka_dims": [],
            "capabilities": [],
            "license": "MIT",
            "downloaded": True,
            "root": None,
            "version": None,
            "aliases": ["little"],
            "roles": ["coding", "general"],
        },
        {
            "id": "tiny-dense",
            "object": "model",
            "created": 0,
            "owned_by": "Tiny",
            "name": "Tiny dense",
            "type": "dense",
            "context_length": 64,
            "embedding_dim": 32,
            "matryoshka_dims": [8, 16],
            "capabilities": ["semantic-search"],
            "license": None,
            "downloaded": False,
            "root": None,
            "version": None,
            "aliases": [],
            "roles": [],
        },
    ]


@pytest.mark.parametrize("name", ["tiny-chat", "Little", "CODING"])
def test_one_model_is_found_by_id_alias_and_role(name: str, serve: Serve) -> None:
    served = serve(serve.chat(record={"aliases": ("little",)}), roles={"coding": "little"})
    model: Any = served.client.models.retrieve(name)
    assert (model.id, model.roles) == ("tiny-chat", ["coding"])


def test_models_can_be_narrowed_to_those_that_are_here(serve: Serve) -> None:
    served = serve(serve.chat(), tiny.dense_record())
    for downloaded, ids in (("true", ["tiny-chat"]), ("false", ["tiny-dense"])):
        listed = served.client.models.list(extra_query={"downloaded": downloaded})
        assert [model.id for model in listed] == ids


def test_unknown_model_is_told(serve: Serve) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        serve(serve.chat()).client.models.retrieve("tiny-cat")
    body: Any = caught.value.body
    assert (body["code"], body["param"]) == ("model_not_found", "model")
    assert body["message"] == "Model `tiny-cat` is not in the registry. Did you mean `tiny-chat`?"


@pytest.mark.parametrize(
    ("date", "created"), [("2024", 1704067200), ("2024-05-31", 1717113600), (None, 0)], ids=["year", "day", "unknown"]
)
def test_release_is_given_in_seconds(date: str | None, created: int, serve: Serve, tmp_path: Path) -> None:
    served = serve(tiny.dense_record(release_date=date))
    assert served.client.models.retrieve("tiny-dense").created == created

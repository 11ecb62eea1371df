"""`/v1/models`: what a request may name as its model, in the shape of OpenAI's API and with what is known of it."""

from __future__ import annotations

from calendar import timegm
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from registry.server.v1.answers import ErrorAnswer
from registry.server.v1.names import Serving

if TYPE_CHECKING:
    from registry.records import ModelInfo
    from registry.server.services import Services


class Model(BaseModel):
    """A model that requests may name."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="Release in seconds since 1970, as exact as it is known; 0 where it is not.")
    owned_by: str = Field(description="Publisher.")
    name: str = Field(description="Name for people.")
    type: str = Field(description="Kind of model: `chat`, `dense`, `colbert`, `reranker`, ...")
    context_length: int | None = Field(description="Longest input in tokens.")
    embedding_dim: int | None = Field(description="Components of an embedding; null where it gives none.")
    matryoshka_dims: list[int] = Field(description="Values of `dimensions` beside the embedding dimension.")
    capabilities: list[str]
    license: str | None = Field(description="SPDX expression or `LicenseRef-...`.")
    downloaded: bool = Field(description="True when its files are on this machine.")
    root: str | None = Field(default=None, description="Model that an adapter goes on top of; null for models.")
    version: str | None = Field(default=None, description="Version of an adapter; null for models.")
    aliases: list[str] = Field(description="Other names that requests may use.")
    roles: list[str] = Field(description="Roles that lead to this model now; requests may use them as names.")


class ModelList(BaseModel):
    """Models, in the order of the registry."""

    object: Literal["list"] = "list"
    data: list[Model]


_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "There is no such model."}}


def router(services: Services) -> APIRouter:
    """Give the routes."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])

    def described(serving: Serving, roles: tuple[str, ...] = ()) -> Model:
        """Describe a model, or an adapter."""
        downloaded = services.desks.has(serving.record)
        model = _model(serving.record, roles, downloaded=downloaded)
        return model if serving.adapter is None else _adapted(model, serving)

    @routes.get("/models")
    def list_models(
        downloaded: bool | None = Query(None, description="Only models whose files are, or are not, on this machine."),
    ) -> ModelList:
        """Give all models, whether their files are on this machine or not, and the adapters that are served now."""
        roles = services.names.roles()
        models = [described(Serving(record), roles.get(record.id, ())) for record in services.registry.values()]
        models += [described(serving) for serving in services.names.adapters()]
        return ModelList(data=[model for model in models if downloaded in (None, model.downloaded)])

    @routes.get("/models/{model}", responses=_NOT_FOUND)
    def get_model(model: str) -> Model:
        """Give one model, by its id, an alias or a role, or one adapter by its id."""
        serving = services.names.serving(model)
        return described(serving, services.names.roles().get(serving.record.id, ()))

    return routes


def _model(record: ModelInfo, roles: tuple[str, ...], *, downloaded: bool) -> Model:
    return Model(
        id=record.id,
        created=_seconds(record.release_date),
        owned_by=record.organization,
        name=record.name,
        type=record.model_type,
        context_length=record.context_length,
        embedding_dim=getattr(record, "embedding_dim", None),
        matryoshka_dims=list(getattr(record, "matryoshka_dims", ())),
        capabilities=list(record.capabilities),
        license=record.license,
        downloaded=downloaded,
        aliases=list(record.aliases),
        roles=list(roles),
    )


def _adapted(model: Model, serving: Serving) -> Model:
    """Describe an adapter: as its model, under its own name."""
    version = None if serving.adapter is None else serving.adapter.version
    changes: dict[str, Any] = {
        "id": serving.name,
        "name": serving.name,
        "root": serving.record.id,
        "version": version,
        "aliases": [],
        "roles": [],
    }
    return model.model_copy(update=changes)


def _seconds(date: str | None) -> int:
    """Give the beginning of a year, month or day, `2024-05`, in seconds since 1970."""
    if date is None:
        return 0
    year, month, day = (*map(int, date.split("-")), 1, 1)[:3]
    return timegm((year, month, day, 0, 0, 0))

"""An application whose profile is served by a provider that a test holds back."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from registry.hub.progress import Progress
from registry.profiles import Availability, Ensured, Providers, Target
from registry.records import Profile, RoleModel
from server.api import KEY, records
from server.v1.few_records import FewRecords

TOKEN = "a-token-of-the-tests"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
PROFILE = Profile(
    "default",
    "For tests.",
    {
        "general": RoleModel(
            "general", "large", "shop", True, {"temperature": 0.5}, "Talks.", fallback=("shop:small",)
        ),
        "reranking": RoleModel("reranking", "rank"),
    },
)


class Shop:
    """A provider that fetches when it may.

    Attributes:
        asked: Models that it was to have ready, and whether anew.
        may_go_on: Cleared to hold it back, with 5 of 10 bytes fetched.
        error: Raised in place of an answer.
    """

    name = "shop"

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: Exception | None = None
        self.availability = Availability()

    def available(self) -> Availability:
        return self.availability

    def has(self, _: Target) -> bool:
        return False

    def ensure(
        self, model: Target, *, force: bool = False, progress: Callable[[Progress], None] | None = None
    ) -> Ensured:
        self.asked.append((model.name, force))
        if progress is not None:
            progress(Progress(model.name, "weights", "downloading", 5, 10))
        assert self.may_go_on.wait(30)
        if self.error is not None:
            raise self.error
        return Ensured("pulled", 10)

    def chat(self, *_: object, **__: object) -> Any:
        raise AssertionError("nobody wants an answer")

    stream = embed = chat

    def close(self) -> None:
        pass


@contextmanager
def application(shop: Shop, profile: Profile | None = PROFILE, **options: Any) -> Iterator[Any]:
    """The application; both roles are served by the shop, unless the profile says something else."""
    from registry.catalog import Catalog
    from registry.server import ServerOptions, create_app

    settings = {"api_key": KEY, "admin_token": TOKEN, "access_log": False} | options
    registry = FewRecords(*records()._records.values(), profiles=() if profile is None else (profile,))
    with Catalog.open(":memory:") as catalog, Providers(providers={"shop": shop, "local": shop}) as providers:
        yield create_app(ServerOptions(**settings), catalog=catalog, registry=registry, providers=providers)


@contextmanager
def client(shop: Shop, profile: Profile | None = PROFILE, **options: Any) -> Iterator[Any]:
    """A client of the application."""
    from starlette.testclient import TestClient

    with (
        application(shop, profile, **options) as app,
        TestClient(app, base_url="http://127.0.0.1:8081", raise_server_exceptions=False) as made,
    ):
        yield made

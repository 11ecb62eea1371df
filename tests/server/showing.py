"""What the tests of the pages share: an application, and a reader of HTML."""

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any

from registry.queries import ModelRegistry

GB = 10**9


def machine_with(available: int | None = 20 * GB, total: int | None = 32 * GB, gpus: tuple[Any, ...] = ()) -> Any:
    from registry.hardware import Cpu, Machine

    return Machine("Linux", "3.12", Cpu("Test CPU", "x86_64", 8, 8, ("AVX2",)), total, available, gpus=gpus)


class Registry(ModelRegistry[Any]):
    """A registry of records that a test made."""

    profiles: Any = {}  # noqa: RUF012 - empty for ever

    def __init__(self, *records: Any) -> None:
        self._found = {record.id: record for record in records}
        self._name = "small"

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def find_model(self, text: str) -> Any:
        return self._found.get(text)

    def get_sources(self, model: Any) -> dict[str, tuple[str, ...]]:  # noqa: ARG002 - the same for all
        return {}


@contextmanager
def client_of(catalog: Any, registry: Any = None, **options: Any) -> Iterator[Any]:
    """A client of the whole application, with a store of the test's own."""
    from starlette.testclient import TestClient

    from registry.server import ServerOptions, create_app

    app = create_app(ServerOptions(access_log=False, **options), catalog=catalog, registry=registry)
    with TestClient(app, base_url="http://127.0.0.1:8081", follow_redirects=False) as client:
        client.headers |= {"accept": "text/html", "accept-encoding": "identity"}
        yield client


class Page(HTMLParser):
    """The elements of a page: tag, attributes, and the text inside."""

    VOID = frozenset({"meta", "link", "input", "br", "hr", "img", "rect", "path", "circle", "line"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = (tag, dict(attrs), [])
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, _, texts in self._open:
            texts.append(data)

    def all(self, tag: str, **attributes: str | None) -> list[dict[str, str | None]]:
        """The attributes of the elements with this tag and these attributes; `class_` means one of its classes."""
        return [found for name, found, _ in self.elements if name == tag and _has(found, attributes)]

    def texts(self, tag: str, **attributes: str | None) -> list[str]:
        """The same, but their texts, with single blanks."""
        return [
            " ".join("".join(texts).split())
            for name, found, texts in self.elements
            if name == tag and _has(found, attributes)
        ]

    def text(self, tag: str, **attributes: str | None) -> str:
        (found,) = self.texts(tag, **attributes)
        return found

    @property
    def links(self) -> list[str]:
        return [found["href"] or "" for name, found, _ in self.elements if "href" in found and name != "link"]


def _has(found: dict[str, str | None], wanted: dict[str, str | None]) -> bool:
    for name, value in wanted.items():
        if name == "class_":
            if value not in (found.get("class") or "").split():
                return False
        elif found.get(name.replace("_", "-"), "missing") != value:
            return False
    return True

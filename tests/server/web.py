"""What the tests of the pages share: an application, and a reader of HTML."""

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any

GB = 10**9


def machine_with(available: int | None = 20 * GB, total: int | None = 32 * GB, gpus: tuple[Any, ...] = ()) -> Any:
    from registry.hardware import Cpu, Machine

    return Machine("Linux", "3.12", Cpu("Test CPU", "x86_64", 8, 8, ("AVX2",)), total, available, gpus=gpus)


@contextmanager
def client_of(catalog: Any, **options: Any) -> Iterator[Any]:
    """A client of the whole application, with a store of the test's own."""
    from starlette.testclient import TestClient

    from registry.server import ServerOptions, create_app

    app = create_app(ServerOptions(access_log=False, **options), catalog=catalog)
    with TestClient(app, base_url="http://127.0.0.1:8081", follow_redirects=False) as client:
        client.headers["accept"] = "text/html"
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

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """The attributes of the elements with this tag and these attributes; `class_` means one of its classes."""
        return [found for name, found, _ in self.elements if name == tag and _has(found, attributes)]

    def texts(self, tag: str, **attributes: str) -> list[str]:
        """The same, but their texts, with single blanks."""
        return [
            " ".join("".join(texts).split())
            for name, found, texts in self.elements
            if name == tag and _has(found, attributes)
        ]

    def text(self, tag: str, **attributes: str) -> str:
        (found,) = self.texts(tag, **attributes)
        return found

    @property
    def links(self) -> list[str]:
        return [found["href"] or "" for name, found, _ in self.elements if "href" in found and name != "link"]


def _has(found: dict[str, str | None], wanted: dict[str, str]) -> bool:
    for name, value in wanted.items():
        if name == "class_":
            if value not in (found.get("class") or "").split():
                return False
        elif found.get(name.replace("_", "-")) != value:
            return False
    return True

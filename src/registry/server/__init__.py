"""Serving: the catalogue and the models over HTTP. Needs the extra `server`.

    >>> from registry.server import ServerOptions, create_app, serve
    >>> serve(ServerOptions(port=8081))  # doctest: +SKIP

`create_app` gives the application for a server of your own; `serve` runs it with uvicorn, as `registry serve` does.
"""

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from registry.server._app import create_app as create_app
    from registry.server.options import ServerOptions as ServerOptions
    from registry.server.serving import serve as serve

_HOMES = {"create_app": "_app", "ServerOptions": "options", "serve": "serving"}
if not TYPE_CHECKING:  # or every misspelt name would have a type

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        from registry._extras import require

        if name != "ServerOptions":
            require("fastapi", extra="server", purpose="Serving")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value

    def __dir__():
        return sorted(_HOMES)

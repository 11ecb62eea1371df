"""More than one machine: the same HTTP surface on Ray Serve, one deployment a model. Needs the extra `cluster`.

    >>> from registry.cluster import build_app
    >>> from ray import serve  # doctest: +SKIP
    >>> serve.run(build_app("default"))  # doctest: +SKIP

`build_app` gives the application; a Serve config file names it as `registry.cluster:build_app`, and `serve_config`
gives such a file. `serve_on_ray` runs the application, as `registry serve --ray` does.
"""

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from registry.cluster.application import build_app as build_app
    from registry.cluster.config import serve_config as serve_config
    from registry.cluster.options import ClusterOptions as ClusterOptions
    from registry.cluster.options import Scaling as Scaling
    from registry.cluster.serving import serve_on_ray as serve_on_ray

_HOMES = {
    "ClusterOptions": "options",
    "Scaling": "options",
    "build_app": "application",
    "serve_config": "config",
    "serve_on_ray": "serving",
}
if not TYPE_CHECKING:  # or every misspelt name would have a type

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        from registry._extras import require

        if _HOMES[name] != "options":
            require("ray", extra="cluster", purpose="Serving on several machines")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value

    def __dir__():
        return sorted(_HOMES)

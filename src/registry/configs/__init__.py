"""The catalogue for other programs: configurations of llama-swap, llama.cpp's router and Ollama.

    >>> from registry.configs import chosen, llama_swap_config
    >>> print(llama_swap_config(chosen().models))  # doctest: +SKIP

Nothing here is fetched or loaded, and the same records, profiles and model folder give the same text.
"""

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from registry.configs.llama_router import llama_router_preset as llama_router_preset
    from registry.configs.llama_swap import llama_swap_config as llama_swap_config
    from registry.configs.modelfile import ollama_modelfile as ollama_modelfile
    from registry.configs.omissions import omitted as omitted
    from registry.configs.served import Chosen as Chosen
    from registry.configs.served import Served as Served
    from registry.configs.served import chosen as chosen

_HOMES = {
    "Chosen": "served",
    "Served": "served",
    "chosen": "served",
    "llama_router_preset": "llama_router",
    "llama_swap_config": "llama_swap",
    "ollama_modelfile": "modelfile",
    "omitted": "omissions",
}
if not TYPE_CHECKING:  # or every misspelt name would have a type

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value

    def __dir__():
        return sorted(_HOMES)

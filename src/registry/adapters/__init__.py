"""LoRA adapters that change while they are served: a manifest says which, every worker moves to the new ones together.

>>> from registry.adapters import read_manifest
>>> read_manifest("adapters.json")  # doctest: +SKIP
"""

"""Build hook of this package: the plugin it offers to others, run from the checkout."""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / "src"))

from registry_build.plugin import ModelRegistryHook  # noqa: E402 - needs the path above


class CheckoutHook(ModelRegistryHook):
    """The plugin, and the schema inside `registry_build`, where an installed copy looks for it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate, and put the schema into the wheel."""
        super().initialize(version, build_data)
        if self.target_name == "wheel" and version == "standard":
            schema = str(ROOT / "schema" / "models.schema.json")
            build_data["force_include"][schema] = "registry_build/models.schema.json"


def get_build_hook() -> type[CheckoutHook]:
    """Name the class to hatchling, which sees two here."""
    return CheckoutHook

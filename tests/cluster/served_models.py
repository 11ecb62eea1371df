"""The registry that the processes of a cluster import: what the test has put down in the home folder."""

import os
import pickle
from pathlib import Path
from typing import Any

from server.v1.few_records import FewRecords

from registry.records import ModelInfo

_FILE = "records.pickle"


def put_down(home: Path, *records: ModelInfo) -> None:
    """Write the records down where this module finds them."""
    home.mkdir(parents=True, exist_ok=True)
    (home / _FILE).write_bytes(pickle.dumps(records))


def __getattr__(name: str) -> Any:
    if name != "MODEL_REGISTRY":
        raise AttributeError(name)
    return FewRecords(*pickle.loads((Path(os.environ["REGISTRY_HOME"]) / _FILE).read_bytes()))

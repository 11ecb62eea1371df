"""The catalogue store: models that people keep, in one SQLite file, beside what the registry ships.

    >>> from registry.catalog import Catalog
    >>> with Catalog.open(":memory:") as catalog:
    ...     _ = catalog.sync()
    ...     mine = catalog.add(name="my-model", type="chat", tags=["work"], parameters=7)
    ...     [model.name for model in catalog.search("my", tag="work").models]
    ['my-model']

Importing this opens no file and does not import `sqlite3` yet.
"""

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from registry.catalog.checking import BadRow as BadRow
    from registry.catalog.entries import CatalogModel as CatalogModel
    from registry.catalog.entries import FamilyStats as FamilyStats
    from registry.catalog.entries import Metric as Metric
    from registry.catalog.entries import NewMetric as NewMetric
    from registry.catalog.entries import Page as Page
    from registry.catalog.entries import Stats as Stats
    from registry.catalog.entries import SyncReport as SyncReport
    from registry.catalog.entries import ValueCount as ValueCount
    from registry.catalog.exporting import export_models as export_models
    from registry.catalog.fields import FIELDS as FIELDS
    from registry.catalog.fields import Field as Field
    from registry.catalog.filters import SORTS as SORTS
    from registry.catalog.importing import ImportProgress as ImportProgress
    from registry.catalog.importing import ImportReport as ImportReport
    from registry.catalog.importing import import_models as import_models
    from registry.catalog.store import Catalog as Catalog

_HOMES = {
    "BadRow": "checking",
    "Catalog": "store",
    "CatalogModel": "entries",
    "FIELDS": "fields",
    "FamilyStats": "entries",
    "Field": "fields",
    "ImportProgress": "importing",
    "ImportReport": "importing",
    "Metric": "entries",
    "NewMetric": "entries",
    "Page": "entries",
    "SORTS": "filters",
    "Stats": "entries",
    "SyncReport": "entries",
    "ValueCount": "entries",
    "export_models": "exporting",
    "import_models": "importing",
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

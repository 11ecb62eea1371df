"""Hardware: what this machine has, what a model needs, which one fits.

    >>> from registry.hardware import probe
    >>> probe(ram_total_bytes=16 * 10**9, gpus=()).ram_total_bytes
    16000000000

Importing this reads no sensor and imports no third-party package.
"""

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from registry.hardware._diagnose import diagnose as diagnose
    from registry.hardware._estimate import estimate as estimate
    from registry.hardware._fit import FitEntry as FitEntry
    from registry.hardware._fit import FitReport as FitReport
    from registry.hardware._fit import fit as fit
    from registry.hardware._probe import probe as probe
    from registry.hardware._select import Selection as Selection
    from registry.hardware._select import Tier as Tier
    from registry.hardware._select import select as select
    from registry.hardware._select import tiers as tiers
    from registry.hardware.cpu import usable_cores as usable_cores
    from registry.hardware.criteria import Rejection as Rejection
    from registry.hardware.criteria import RejectionKind as RejectionKind
    from registry.hardware.diagnosis import Device as Device
    from registry.hardware.diagnosis import Diagnosis as Diagnosis
    from registry.hardware.diagnosis import Remedy as Remedy
    from registry.hardware.diagnosis import Thresholds as Thresholds
    from registry.hardware.machine import Cpu as Cpu
    from registry.hardware.machine import Gpu as Gpu
    from registry.hardware.machine import Machine as Machine
    from registry.hardware.need import DeviceEstimate as DeviceEstimate
    from registry.hardware.need import Estimate as Estimate
    from registry.hardware.requirement import Need as Need

_HOMES = {
    "Cpu": "machine",
    "Device": "diagnosis",
    "DeviceEstimate": "need",
    "Diagnosis": "diagnosis",
    "Estimate": "need",
    "FitEntry": "_fit",
    "FitReport": "_fit",
    "Gpu": "machine",
    "Machine": "machine",
    "Need": "requirement",
    "Rejection": "criteria",
    "RejectionKind": "criteria",
    "Remedy": "diagnosis",
    "Selection": "_select",
    "Thresholds": "diagnosis",
    "Tier": "_select",
    "diagnose": "_diagnose",
    "estimate": "_estimate",
    "fit": "_fit",
    "probe": "_probe",
    "select": "_select",
    "tiers": "_select",
    "usable_cores": "cpu",
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

"""Which connectors the local stack simulates, the settings that lead them to their simulators, and what those take, as the cost model.

Not here: starting simulators (`psp_process`), the rest of the local stack (`local`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from connectors.simulated import SIMULATED
from connectors.simulator.bookings import SimulatedFee
from payorch import configuration
from payorch.settings import Settings, SettingsInvalid, origins
from payorch.simulator_identity import NAMES


def simulated_connectors(settings: Settings) -> list[str]:
    """The connectors that get a simulator: those that have one, with the shipped base_url, and that nobody has switched off.

    A simulated PSP needs no account, so what is shipped as switched off for want of one is on here.
    """
    shown, shipped = origins(settings), str(configuration.shipped_folder())

    def as_shipped(name: str, key: str) -> bool:
        return shown[f"connectors.{name}.{key}"].source.startswith(shipped)

    known = [name for name in settings.connectors if name in SIMULATED and as_shipped(name, "base_url")]
    return [name for name in known if settings.connectors[name].enabled or as_shipped(name, "enabled")]


def connector_overrides(
    settings: Settings, simulated: list[str], urls: Mapping[str, str], webhook_secrets: Mapping[str, str], anchors: Path
) -> dict[str, object]:
    """Settings that lead connectors to their simulators; one that would be simulated and has no simulator is switched off.

    anchors: the file with the authority behind the certificates that simulators sign with.
    """
    overrides: dict[str, object] = {}
    for name in simulated:
        if name not in urls:
            overrides[f"connectors.{name}.enabled"] = False
            continue
        overrides[f"connectors.{name}.enabled"] = True
        overrides[f"connectors.{name}.base_url"] = urls[name]
        given = settings.connectors[name].credentials()
        ours = {**SIMULATED[name].credentials, "webhook_secret": webhook_secrets[name]}
        overrides |= {f"connectors.{name}.{key}": value for key, value in ours.items() if key not in given}
        if SIMULATED[name].certified:
            theirs = {"certificate_hosts": [urls[name]], "certificate_name": NAMES[0], "certificate_anchors": str(anchors)}
            overrides |= {f"connectors.{name}.{key}": value for key, value in theirs.items()}
    on = {name: overrides.get(f"connectors.{name}.enabled", connector.enabled) for name, connector in settings.connectors.items()}
    if simulated and not any(on.values()):
        raise SettingsInvalid(["no connector is left: none of the enabled ones has a simulator or a base_url from outside"])
    return overrides


def fee_overrides(settings: Settings, simulated: Iterable[str]) -> dict[str, object]:
    """Settings by which the cost model is what simulators take, for each connector of which no [[fees]] are written. Nothing of what is
    written is lost: an override stands in the place of the whole list.
    """
    written = origins(settings)["routing.fees"].value
    assert isinstance(written, list), "a list of tables, as they were read"
    priced = {fee.connector for fee in settings.routing.fees}
    added = [_table(name, fee) for name in simulated if name not in priced for fee in SIMULATED[name].fees]
    return {"routing.fees": [*written, *added]} if added else {}


def _table(connector: str, fee: SimulatedFee) -> dict[str, object]:
    """A price as [[fees]] would say it. The order of prices is kept: in both the first that fits holds."""
    when = {name: value for name, value in (("currency", fee.currency), ("method", fee.method)) if value is not None}
    return {"connector": connector, "when": when, "fixed_minor": fee.fixed_minor, "basis_points": fee.basis_points}

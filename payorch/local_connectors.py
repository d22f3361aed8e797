"""Which connectors `payorch up` leads to simulators, and the settings that lead them there.

Not here: starting the simulators (`psp_process`), everything else that `up` does (`local`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from connectors.simulated import SIMULATED
from payorch import configuration, simulator_identity
from payorch.settings import Settings, SettingsInvalid, origins


def simulated_connectors(settings: Settings) -> list[str]:
    """The enabled connectors that can be simulated and whose base_url is still the shipped one: those get a simulator."""
    shown = origins(settings)
    shipped = str(configuration.shipped_folder())
    enabled = [name for name in settings.enabled_connectors() if name in SIMULATED]
    return [name for name in enabled if shown[f"connectors.{name}.base_url"].source.startswith(shipped)]


def connector_overrides(
    settings: Settings, simulated: list[str], urls: Mapping[str, str], webhook_secrets: Mapping[str, str], anchor: Path | None = None
) -> dict[str, object]:
    """Settings that lead connectors to their simulators; one that would be simulated and has no simulator is switched off.

    `anchor`: the file with the authority behind those simulators that sign with a certificate.
    """
    overrides: dict[str, object] = {}
    for name in simulated:
        if name not in urls:
            overrides[f"connectors.{name}.enabled"] = False
            continue
        overrides[f"connectors.{name}.base_url"] = urls[name]
        given = settings.connectors[name].credentials()
        ours = {**SIMULATED[name].credentials, "webhook_secret": webhook_secrets[name]}
        overrides |= {f"connectors.{name}.{key}": value for key, value in ours.items() if key not in given}
        if SIMULATED[name].certified and anchor is not None:
            overrides[f"connectors.{name}.certificate_hosts"] = [urls[name]]
            overrides[f"connectors.{name}.certificate_name"] = simulator_identity.NAMES[0]
            overrides[f"connectors.{name}.certificate_anchors"] = str(anchor)
    if settings.enabled_connectors() and all(
        overrides.get(f"connectors.{name}.enabled") is False for name in settings.enabled_connectors()
    ):
        raise SettingsInvalid(["no connector is left: none of the enabled ones has a simulator or a base_url from outside"])
    return overrides

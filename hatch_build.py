"""Put ``configs/`` inside the wheel; an editable install reads the checkout's own and gets no copy to go stale."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConfigsInTheWheel(BuildHookInterface):  # type: ignore[misc]  # hatchling is there while building only
    """Hatchling's build hook of this project."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the configuration files to a wheel that is not an editable one."""
        if version == "standard":
            build_data["force_include"]["configs"] = "rmc_rl/configs"

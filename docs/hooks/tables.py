"""Fill a page's ``<!-- made: name -->`` lines with what follows from code, configurations and results."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from configuration_tables import MAKERS as OF_CONFIGURATIONS
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page
from speed_tables import MAKERS as OF_SPEEDS

MAKERS: Mapping[str, Callable[[], str]] = {**OF_CONFIGURATIONS, **OF_SPEEDS}
LINE = re.compile(r"^<!-- made: (.+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """The page with its tables."""

    def made(match: re.Match[str]) -> str:
        if match[1] not in MAKERS:
            raise PluginError(f"{page.file.src_uri}: nothing is made by the name of '{match[1]}': {', '.join(MAKERS)}")
        return MAKERS[match[1]]()

    return LINE.sub(made, markdown)

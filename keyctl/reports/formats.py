"""The formats that `--report FORMAT=PATH` knows. A new format is one file and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keyctl.findings import Report
from keyctl.reports import gitlab, json, junit, markdown, openmetrics, oscal, sarif
from keyctl.reports.html import page

FORMATS: Mapping[str, Callable[[Report], str]] = {
    "json": json.render,
    "junit": junit.render,
    "sarif": sarif.render,
    "sarif-github": sarif.render_for_github,
    "gitlab": gitlab.render,
    "oscal": oscal.render,
    "markdown": markdown.render,
    "openmetrics": openmetrics.render,
    "html": page.render,
}

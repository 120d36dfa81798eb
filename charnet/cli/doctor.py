"""`charnet doctor`"""

from __future__ import annotations

from typing import Annotated

from charnet.cli import console, tables
from charnet.cli.options import option


def doctor(json: Annotated[bool, option("--json", help="print the findings as JSON", group="Output")] = False) -> None:
    """Show what a bug report needs: versions, processor, memory, folders, and whether fsync works."""
    from charnet.doctor import examine

    findings = examine()
    if json:
        console.write_json(findings)
    else:
        tables.show_rows(findings.items())

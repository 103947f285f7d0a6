"""``ragwheel ship``: export a store to a lake at intervals, beside the app."""

from __future__ import annotations

import json as json_module
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragwheel.cli.amounts import days, seconds
from ragwheel.cli.extras import require_packages
from ragwheel.cli.options import DbOption, JsonOption

if TYPE_CHECKING:
    from ragwheel.fleet import Shipment

__all__ = ["ship"]


def ship(
    lake: Annotated[str, typer.Argument(metavar="URL", help="A folder or URL; many stores share one.")],
    db: DbOption = Path("ragwheel.db"),
    every: Annotated[str, typer.Option(help="An interval: 60s, 5m, 1h.", metavar="TIME")] = "60s",
    keep: Annotated[
        str | None,
        typer.Option(help="Drop days that are older and safely in the lake: 7d.", metavar="AGE"),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Ship once and leave.")] = False,
    json: JsonOption = False,
) -> None:
    """Export the traces to a lake now and at every interval; at SIGTERM or Ctrl-C once more.

    With --once the exit code is 1 when it failed; else failures are reported and tried again.
    """
    require_packages("ship")
    from ragwheel import fleet

    interval_s, keep_days = seconds(every), None if keep is None else days(keep)
    stop = threading.Event()
    failures: list[str] = []

    def report(shipment: Shipment) -> None:
        if shipment.failure is not None:
            failures.append(shipment.failure)
        _print(shipment, json=json)

    if once:
        report(fleet.ship_once(db, lake, keep_days=keep_days))
        if failures:
            raise typer.Exit(1)
        return
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda _signal, _frame: stop.set())
    fleet.ship(db, lake, every_s=interval_s, keep_days=keep_days, stop=stop, on_shipment=report)


def _print(shipment: Shipment, *, json: bool) -> None:
    """One line an attempt, for the log of a container."""
    export, pruned = shipment.export, shipment.pruned
    gone = 0 if pruned is None else pruned.retrievals + pruned.turns + pruned.signals
    if json:
        line = {
            "store": export.store if export else None,
            "rows": dict(export.rows) if export else None,
            "written": export.written if export else 0,
            "pruned": gone,
            "failure": shipment.failure,
        }
        typer.echo(json_module.dumps(line))
        return
    if shipment.failure is not None:
        typer.echo(f"ragwheel ship: not shipped: {shipment.failure}", err=True)
        return
    if export is not None:
        parts = [f"{export.written} partitions written"]
        if export.separated_from is not None:
            parts.append(f"now store {export.store}: another database exports as {export.separated_from}")
        if export.erased:
            parts.append(f"{export.erased} rows erased as the lake asks")
        if gone:
            parts.append(f"{gone} shipped rows dropped here")
        typer.echo(f"ragwheel ship: store {export.store}: {', '.join(parts)}")

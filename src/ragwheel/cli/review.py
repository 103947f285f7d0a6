"""``ragwheel review``: the page where people grade, compare and see why."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.extras import require_packages
from ragwheel.cli.options import DbOption
from ragwheel.errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:
    from ragwheel.review import ReviewAccess

__all__ = ["review"]

PASSWORD = "RAGWHEEL_REVIEW_PASSWORD"  # noqa: S105 - the name of a variable
LEAST_LETTERS = 10


def review(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    dataset: Annotated[
        Path | None, typer.Argument(help="Folder of a build; default: the newest one.")
    ] = None,
    db: DbOption = Path("ragwheel.db"),
    host: Annotated[
        str, typer.Option(help="Another address than loopback asks for a password and RAGWHEEL_SIGNING_KEYS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8322,
    judge: Annotated[str | None, typer.Option(help="Who you are; default: your login name.")] = None,
    not_blind: Annotated[
        bool, typer.Option("--not-blind", help="Show ranks and the grades of others before you grade.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="First pairs of every degree of belief, to see whether beliefs are right."
        ),
    ] = False,
    run: Annotated[
        list[Path] | None, typer.Option(help="TREC run file to compare with another one; give it twice.")
    ] = None,
) -> None:
    """Serve the review page: grade chunks, see why, compare systems, find documents to mend."""
    keys, password = _lock(host)
    require_packages("review")
    try:
        import uvicorn
    except ModuleNotFoundError as exc:
        raise MissingExtra(
            "ragwheel review needs uvicorn, which is not installed. Next: pip install 'ragwheel[review]'"
        ) from exc
    from ragwheel.review import ReviewOptions, app
    from ragwheel.store import open_store

    runs = tuple(run or ())
    if len(runs) not in {0, 2}:
        raise ConfigurationError(f"--run: got {len(runs)}, allowed: two run files to compare, or none")
    open_store(db).close()
    access = _access(db, keys, password)
    options = ReviewOptions(
        db=db, rater=judge or _login(), blind=not not_blind, dataset=dataset, check=check, runs=runs
    )
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), port))
        listener.listen()  # whoever opens the address at once waits for the first answer
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}/"
        address += f"grade?token={access.token}" if access.password is None else ""
        console = screen.stdout()
        console.print(Text(f"  review page of {db}", "bold"))
        console.print(Text(f"  open  {address}"), soft_wrap=True)
        console.print(Text("  Ctrl-C ends it; every grade is kept at once", "dim"))
        sys.stdout.flush()
        config = uvicorn.Config(
            app(options, access), log_level="warning", access_log=False, server_header=False,
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


def _lock(host: str) -> tuple[str, str | None]:
    """Return the keys and the password that another address than loopback needs."""
    if host == "localhost" or _is_loopback(host):
        return "", None
    keys = os.environ.get("RAGWHEEL_SIGNING_KEYS", "").strip()
    if not keys:
        raise ConfigurationError(
            f"--host {host} lets other machines in, so sessions must be signed: set RAGWHEEL_SIGNING_KEYS to "
            f"<key id>:<hex>, or leave --host out to review on this machine"
        )
    password = os.environ.get(PASSWORD) or _asked_password()
    if len(password) < LEAST_LETTERS:
        raise ConfigurationError(
            f"{PASSWORD}: got {len(password)} characters, allowed: {LEAST_LETTERS} or more"
        )
    return keys, password


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _access(db: Path, keys: str, password: str | None) -> ReviewAccess:
    """Return who is let in: by a token on loopback, by a password anywhere else."""
    from ragwheel.review import ReviewAccess
    from ragwheel.store.secret import database_secret

    if password is None:
        return ReviewAccess(_secret(lambda: database_secret(db)))
    return ReviewAccess(keys.encode(), password, loopback=False)


def _secret(read: Any) -> bytes:
    """The database's own secret, so that an open page stays signed in over a restart; else a fresh one."""
    try:
        return bytes(read())
    except OSError:  # a medium that cannot be written to
        return os.urandom(32)


def _asked_password() -> str:
    if not sys.stdin.isatty():
        raise ConfigurationError(f"--host asks for a password: set {PASSWORD}, or run it in a terminal")
    return str(typer.prompt("Password for the review page", hide_input=True, confirmation_prompt=True))


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a user table
        return "me"

"""`lmms-fast server`: the vLLM servers that --keep-server left running."""

from __future__ import annotations

from typing import Annotated

import typer

from lmms_fast.errors import LmmsFastError, UsageError

app = typer.Typer(help="vLLM servers that --keep-server left running.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_servers() -> None:
    """The kept servers that are alive."""
    from lmms_fast.server import kept

    servers = kept.running()
    if not servers:
        print("No kept server is running.")
        return
    # Plain lines: a table folds names to the terminal's width, and then they cannot be copied or searched for.
    for one in servers:
        print(f"{one.name}  {one.facts.get('model')}  port {one.port}  pid {one.pid}  log {one.log_path}")


@app.command()
def stop(
    name: Annotated[str | None, typer.Argument(help="From `server list`; may be left out if there is one.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Stop a kept server, with all its processes."""
    from lmms_fast.server import kept

    servers = kept.running()
    chosen = servers if every else [one for one in servers if name in (None, one.name)]
    if not every and len(chosen) != 1:
        names = ", ".join(one.name for one in servers) or "none"
        raise UsageError(f"server stop {name or ''}: name one of the kept servers ({names}), or --all.")
    for one in chosen:
        if not kept.stop(one):
            raise LmmsFastError(f"{one.name}: process {one.pid} did not end within half a minute; see {one.log_path}.")
        print(f"stopped {one.name}")

"""`fluxsmith proxy`: record what a client and a server say to each other, and say it again as a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fluxsmith.cli.output import JSON_HELP, print_json
from fluxsmith.errors import ValidationError

if TYPE_CHECKING:
    import socket

    from fluxsmith.config.settings import Settings
    from fluxsmith.proxy import Outcome, Recorder

PORT = 7861  # beside the server's own
MARKS = {"same": "same", "different": "DIFF", "not sent": "skip"}

app = typer.Typer(help="Record what a client and a server say to each other, and replay it.")


@app.callback(invoke_without_command=True)
def record(
    context: typer.Context,
    to: Annotated[
        str | None, typer.Option(help="Pass every request on to this server, such as https://api.bfl.ai.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="The file to write, one exchange a line.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = PORT,
    no_pictures: Annotated[
        bool,
        typer.Option(
            "--no-pictures", help="Keep hashes of pictures and files only; they cannot be replayed."
        ),
    ] = False,
    limit_kb: Annotated[
        int, typer.Option(min=0, help="Of a larger picture or file only its hash is kept.")
    ] = 10_000,
) -> None:
    """Record what a client says through this proxy, secrets removed. Ctrl-C ends it."""
    if context.invoked_subcommand is not None:
        return
    if to is None or record is None:
        raise ValidationError(
            "usage",
            "Say where requests go, and which file to write.",
            hint="fluxsmith proxy --to http://127.0.0.1:7860 --record client.jsonl",
        )
    from fluxsmith.cli.serve import listen
    from fluxsmith.cli.session import load_settings
    from fluxsmith.proxy import Keep, Recorder
    from fluxsmith.proxy.addresses import checked
    from fluxsmith.proxy.masking import Secrets

    settings = load_settings(host=host, port=port)
    checked(to)
    with listen(settings, "--port ") as listener:
        keep = Keep(limit_kb * 1000, pictures=not no_pictures)
        recorder = Recorder(record, keep, Secrets(settings.secrets()))
        try:
            _serve(settings, listener, to, recorder)
        finally:
            recorder.close()
    typer.echo(f"Recorded {recorder.count} exchanges in {record}.")


@app.command("replay")
def replay(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    to: Annotated[str, typer.Option(help="The server to send the requests to.")],
    key: Annotated[
        str | None,
        typer.Option(
            help="Key to send; by default that of the settings, if --to is the host that it is for."
        ),
    ] = None,
    patience: Annotated[float, typer.Option(min=0, help="Seconds that a task may take.")] = 600,
    as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Send a recording's requests again and compare the answers; exit code 1 if any differs.

    Where the requests cost money, they cost it again.
    """
    from fluxsmith.cli.session import load_settings
    from fluxsmith.proxy import Replay, read_recording

    exchanges = read_recording(file)
    again = Replay(to, key or _key_for(load_settings(), to), patience)
    outcomes = []
    try:
        for outcome in again.run(exchanges):
            outcomes.append(outcome)
            if not as_json:
                _tell(outcome)
    finally:
        again.close()
    if as_json:
        print_json(outcomes)
    else:
        typer.echo(_summary(outcomes))
    if any(outcome.differences for outcome in outcomes):
        raise typer.Exit(1)


def _serve(settings: Settings, listener: socket.socket, to: str, recorder: Recorder) -> None:
    import signal

    from fluxsmith.cli.serve import run_app
    from fluxsmith.proxy import create_proxy
    from fluxsmith.web.middleware import KnownHosts

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    guarded = KnownHosts(create_proxy(to, recorder), settings)
    says = f"{settings.url} leads to {to}; recording in {recorder.path} (Ctrl-C ends it)"
    run_app(guarded, listener, says, own_headers=False)


def _key_for(settings: Settings, to: str) -> str | None:
    """The key of the settings, where it is for that host."""
    from fluxsmith.proxy.addresses import origin_of

    for_host = origin_of(to) == origin_of(settings.bfl_base_url)
    return settings.bfl_api_key.get_secret_value() if settings.bfl_api_key and for_host else None


def _tell(outcome: Outcome) -> None:
    count = f" ({outcome.exchanges} polls)" if outcome.exchanges > 1 else ""
    status = f"  {outcome.status}" if outcome.status is not None else ""
    typer.echo(f"{MARKS[outcome.verdict]}  {outcome.request}{count}{status}")
    for difference in outcome.differences:
        typer.echo(f"      {difference}")


def _summary(outcomes: Sequence[Outcome]) -> str:
    same = sum(outcome.verdict == "same" for outcome in outcomes)
    different = sum(bool(outcome.differences) for outcome in outcomes)
    return (
        f"{same} same, {different} different, of {sum(outcome.exchanges for outcome in outcomes)} exchanges."
    )

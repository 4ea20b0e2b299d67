"""The tree of commands, and the edge at which errors become words and exit codes."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence

import typer

from fluxsmith import __version__
from fluxsmith.cli import (
    config,
    datasets,
    db,
    demo,
    doctor,
    finetune,
    generate,
    models,
    proxy,
    serve,
    worker,
)
from fluxsmith.errors import EngineError, FluxsmithError, ValidationError

INTERRUPTED = 130

app = typer.Typer(
    name="fluxsmith",
    help="Finetune FLUX image models and draw with them: as a server with a studio, or from the shell.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("finetune")(finetune.finetune)
app.command("generate")(generate.generate)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("config")(config.config)
GROUPS = {"models": models.app, "datasets": datasets.app, "db": db.app, "proxy": proxy.app}
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; errors are told on standard error, never as a traceback."""
    try:
        result = app(args=_or_help(arguments), prog_name="fluxsmith", standalone_mode=False)
        sys.stdout.flush()
    except FluxsmithError as error:
        return _tell(error, as_json="--json" in arguments)
    except typer.TyperException as error:
        return _tell(_usage(error), as_json="--json" in arguments)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # `fluxsmith models | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the edge of the process
        return _tell(_unexpected(error), as_json="--json" in arguments)
    return result if isinstance(result, int) else 0


def _or_help(arguments: Sequence[str]) -> list[str]:
    """The arguments; nothing, or only the name of a group, asks for help."""
    helpless = not arguments or (len(arguments) == 1 and arguments[0] in GROUPS)
    return [*arguments, "--help"] if helpless else list(arguments)


def _tell(error: FluxsmithError, *, as_json: bool) -> int:
    if as_json:
        words = {"code": error.code, "message": error.message, "hint": error.hint, "field": error.field}
        typer.echo(json.dumps({"error": words}, ensure_ascii=False), err=True)
    else:
        typer.echo(f"Error: {error.message}", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
    return error.exit_code


def _usage(error: typer.TyperException) -> FluxsmithError:
    hint = "`fluxsmith COMMAND --help` shows what a command takes."
    return ValidationError("usage", error.format_message(), hint=hint)


def _unexpected(error: Exception) -> FluxsmithError:
    logging.getLogger(__name__).debug("The command failed unexpectedly.", exc_info=error)
    return EngineError(
        "internal-error",
        f"fluxsmith failed for a reason that it did not expect: {type(error).__name__}: {error}",
        hint="FLUXSMITH_LOG_LEVEL=debug shows where; please report it.",
    )

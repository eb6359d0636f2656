"""`mmm`: one verb a file. Exit status 0 done, 1 failed, 2 the input is wrong, 130 cancelled."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

import mmm_graph
from mmm_graph.cli.app import App, report
from mmm_graph.cli.chat import chat
from mmm_graph.cli.check import check
from mmm_graph.cli.eval import eval_
from mmm_graph.cli.export import export
from mmm_graph.cli.import_ import import_
from mmm_graph.cli.nodes import nodes_group
from mmm_graph.cli.plan import plan
from mmm_graph.cli.plugins import plugins_group
from mmm_graph.cli.run import run
from mmm_graph.cli.schema import schema
from mmm_graph.cli.show import show
from mmm_graph.cli.train import train
from mmm_graph.errors import Cancelled, InputError, MmmError, RunError, problem
from mmm_graph.runtime.supervised import report_problems


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mmm_graph.__version__, prog_name="mmm")
@click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="Load this file as a plugin."
)
@click.pass_context
def cli(ctx: click.Context, plugins: tuple[Path, ...]) -> None:
    """Check, explain, run and train multimodal models that are written as graph files."""
    ctx.obj = App(plugins, ctx.obj or ())


for verb in (chat, check, eval_, export, import_, nodes_group, plan, plugins_group, run, schema, show, train):
    cli.add_command(verb)


def main(args: list[str] | None = None) -> None:
    """Entry point: runs a verb and turns errors into their exit status."""
    words = sys.argv[1:] if args is None else args
    as_json = "--json" in words
    try:
        sys.exit(cli.main(words, prog_name="mmm", standalone_mode=False, obj=tuple(words)) or 0)
    except MmmError as error:
        _end(error, as_json)
    except click.ClickException as error:
        if as_json:
            _end(InputError(problem("E300", error.format_message())), as_json)
        error.show()
        sys.exit(2)
    except OSError as error:  # a full disk, a folder that is not ours
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _end(RunError(problem("E741", what)), as_json)
    except (click.Abort, KeyboardInterrupt):
        _end(Cancelled(problem("E730", "cancelled")), as_json)


def _end(error: MmmError, as_json: bool) -> NoReturn:
    """With the error's status; a launcher that started this rank tells of it, in place of the rank."""
    sys.exit(error.status if report_problems(error) else report(error, as_json))

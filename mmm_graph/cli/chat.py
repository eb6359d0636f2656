"""`mmm chat FILE`: talk with a graph in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mmm_graph.cli.app import App, report, warn
from mmm_graph.cli.interrupt import cancel_on_interrupt
from mmm_graph.cli.options import GRAPH, device, overrides, parse_sets, use_device
from mmm_graph.errors import Cancelled, MmmError
from mmm_graph.spec.chat import MEDIA

HELP = (
    "/image FILE, /audio FILE, /video FILE go with the next message, /new begins anew, /exit or Ctrl-D ends; "
    "Ctrl-C stops an answer"
)


@click.command()
@GRAPH
@overrides
@device
@click.option("--plan", "plan_name", help="A plan of the file, or other.yaml#name; ranks are threads.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the first answer."
)
@click.option("--system", help="A system message.")
@click.option(
    "--prefix-cache",
    type=click.IntRange(0),
    default=256,
    show_default=True,
    metavar="MIB",
    help="For keys and values of what was said before, so that they are not computed again; 0 = as the file says.",
)
@click.option("-o", "--out", "folder", type=click.Path(path_type=Path), default=Path("out"), show_default=True,
              help="Folder for what answers show: answer_01_image.png ...")  # fmt: skip
@click.pass_obj
def chat(app: App, /, **options: Any) -> int:
    """Talk with FILE, a graph whose input is of kind Chat (or Text) and whose output is Text.

    Questions come from the terminal, or a line each from a pipe; answers go to stdout as they are made. Outputs with
    `save:` are saved and named by the answer that they are of.
    """
    from mmm_graph.api.prefixes import with_prefix_cache
    from mmm_graph.api.save import check_folder
    from mmm_graph.api.session import Session
    from mmm_graph.api.talk import Talk

    check_folder(options["folder"])
    target = use_device(options["device"], options["threads"], options["tf32"])
    session = Session(
        options["file"],
        sets=parse_sets(options["sets"]),
        params_file=options["params_file"],
        registry=app.registry(),
        device=target,
        weights=options["weights"],
        plan=options["plan_name"],
        warn=lambda found: warn(found, as_json=False),
    )
    session.spec = with_prefix_cache(session.spec, session.registry, options["prefix_cache"])
    return _Terminal(Talk(session, options["system"]), options["seed"], options["folder"]).run()


class _Terminal:
    def __init__(self, talk: Any, seed: int, folder: Path) -> None:
        self.talk, self.seed, self.folder, self.status = talk, seed, folder, 0
        self.answers = 0
        self.media: list[dict[str, Any]] = []
        self.is_terminal = sys.stdin.isatty()

    def run(self) -> int:
        """Until the input ends; 1 if the last answer failed."""
        if self.is_terminal:
            click.echo(HELP, err=True)
        while (line := self._read()) is not None:
            if line in ("/exit", "/quit"):
                break
            if line.startswith("/") and self._command(line):
                continue
            if line:
                self._ask(line)
            elif self.media:
                click.echo("write what to do with it; an empty line asks nothing", err=True)
        return self.status

    def _read(self) -> str | None:
        if self.is_terminal:
            try:
                return input("> ").strip()
            except EOFError:
                return None
            except KeyboardInterrupt:
                click.echo(err=True)
                return ""
        line = sys.stdin.readline()
        return line.strip() if line else None

    def _command(self, line: str) -> bool:
        """Do what a line that begins with / says; False where it says nothing known."""
        word, _, rest = line.partition(" ")
        if word == "/new":
            self.talk.forget()
            self.media = []
        elif word[1:] in MEDIA and rest.strip():
            self._attach(word[1:], str(Path(rest.strip().strip("\"'")).expanduser()))
        elif word == "/help" or word[1:] in MEDIA:
            click.echo(HELP, err=True)
        else:
            return False
        return True

    def _attach(self, kind: str, file: str) -> None:
        if not Path(file).is_file():
            click.echo(f"there is no file {file}", err=True)
            return
        try:
            self.media.append(self.talk.attach(kind, file))
        except MmmError as error:
            report(error, as_json=False)
            return
        if self.is_terminal:
            click.echo(f"{file} goes with the next message", err=True)

    def _ask(self, line: str) -> None:
        self.status = 0
        try:
            with cancel_on_interrupt() as cancel:
                answer = self.talk.ask(line, self.media, seed=self.seed, tell=_tell, cancel=cancel.is_set)
            self.media = []
            self.seed += 1
            self.answers += 1
            self._show(answer)
        except Cancelled:
            click.echo(" [stopped]")
        except MmmError as error:  # the next question may go better
            self.status = self._tell_failure(error)

    def _show(self, answer: Any) -> None:
        """End the line of the text; save the media and say where; say what is forgotten."""
        saved = self.talk.save(answer, self.folder, f"answer_{self.answers:02}_")
        if answer.text or not saved:
            click.echo()
        for item in saved:
            for file in item.files:
                click.echo(f"{item.name}: {file}")
        if answer.forgotten:
            what = "question is" if answer.forgotten == 1 else f"{answer.forgotten} questions are"
            click.echo(f"the first {what} forgotten: the conversation became too long", err=True)

    def _tell_failure(self, error: MmmError) -> int:
        status = report(error, as_json=False)
        if self.media:
            click.echo("what should go with the message is left out now", err=True)
            self.media = []
        click.echo()
        return status


def _tell(piece: str) -> None:
    click.echo(piece, nl=False)
    sys.stdout.flush()

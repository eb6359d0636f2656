"""`mmm import FOLDER_OR_FILE`: a graph file from what diffusers, transformers or others saved."""

from __future__ import annotations

from pathlib import Path

import click

from mmm_graph.cli.app import App, emit
from mmm_graph.cli.options import as_json
from mmm_graph.cli.show import write_text
from mmm_graph.errors import InputError, problem

DTYPES = ("f32", "bf16", "f16", "f64")
PREDICTIONS = ("epsilon", "v")


@click.command("import")
@click.argument("source")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The graph file; - prints.")
@click.option("--dtype", type=click.Choice(DTYPES), help="Of all weights when they are loaded.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--online", is_flag=True, help="hf: may download.")
@click.option(
    "--as",
    "as_class",
    help="Another pipeline of the same parts, such as StableDiffusionInpaintPipeline.",
)
@click.option("--prediction", type=click.Choice(PREDICTIONS), help="Of a file: what its denoiser predicts.")
@click.option(
    "--tokenizer", help="Of a file, which has none: the folder of a tokenizer or pipeline, or hf:org/repo."
)
@click.option("--base", help="Of an adapter: the folder of the pipeline that it is for, or hf:org/repo.")
@click.option("--ignore", multiple=True, help="Of a file: tensors that may stay unread, by how they begin.")
@as_json
@click.pass_obj
def import_(  # noqa: PLR0913 - one argument an option
    app: App,
    source: str,
    out: Path,
    dtype: str | None,
    force: bool,
    online: bool,
    as_class: str | None,
    prediction: str | None,
    tokenizer: str | None,
    base: str | None,
    ignore: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a graph file that runs the pipeline in SOURCE. Weights stay where they are.

    SOURCE is a folder that save_pretrained or OpenCLIP wrote, a .safetensors file with all models of Stable Diffusion
    or FLUX.1, a .gguf file of a language model, or hf:org/repo.
    """
    from mmm_graph.api.convert import SingleFile, import_graph

    printed = str(out) == "-"
    if not printed and out.suffix not in (".yaml", ".yml"):
        raise InputError(problem("E101", f"{out} should end in .yaml", hint=f"{out.name}.yaml"))
    if not printed and out.exists() and not force:
        raise InputError(problem("E101", f"{out} is there already", hint="choose another name, or --force"))
    target = Path("graph.yaml") if printed else out
    said = prediction or tokenizer or ignore
    single = SingleFile(prediction, tokenizer, ignore) if said else None
    made = import_graph(
        *(source, target, app.registry()),
        dtype=dtype,
        online=online,
        single=single,
        as_class=as_class,
        base=base,
    )
    if printed:
        click.echo(made.text, nl=False)
    else:
        write_text(out, made.text)
    if as_json:
        emit("done", outputs={"graph": str(out)}, notes=list(made.notes))
        return
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    if not printed:
        asked = [
            n
            for n, said in made.tree["inputs"].items()
            if not isinstance(said, dict) or "default" not in said
        ]
        click.echo(
            f"wrote {out}; run it with: mmm run {out} {' '.join(f'--set {name}=...' for name in asked)}"
        )

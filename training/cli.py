"""The verbs that make models: pretrain, train, average, evaluate, export."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from labels.errors import RecordError
from labels.folder import ModelFolder
from labels.records import parse_annotation, parse_prediction, read_annotations, read_jsonl, write_jsonl
from labels.schema import DEFAULT_SCHEMA, LabelSchema, load_schema
from labels.types import Annotation, Prediction
from training.comparison import compare, gains_markdown
from training.config import load_config
from training.error_list import list_errors
from training.metrics import Evaluation, evaluate_by_schema
from training.report import report_json, report_markdown, write_report

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--config", "config_file", type=_FILE, required=True, help="TOML file that describes the run.")
@click.option("--texts", type=_FOLDER, help="Folder of the text files that the configuration names; not needed once encoded.")
@click.option("--prepare", is_flag=True, help="Train the tokenizer and encode the texts, and stop there.")
def pretrain(config_file: Path, texts: Path | None, prepare: bool) -> None:
    """Train a tokenizer and an encoder from texts. A killed run goes on where it stopped when the same command is given
    again. On several GPUs or processes: torchrun --nproc-per-node N -m marsad pretrain …"""
    from training.pretrain import pretrain as run
    from training.pretrain_config import PretrainConfig

    folder = run(load_config(PretrainConfig, config_file), texts, prepare_only=prepare)
    click.echo(f"{'tokenizer and encoded texts' if prepare else 'encoder'} written to {folder}")


@click.command()
@click.option("--config", "config_file", type=_FILE, required=True, help="TOML file that describes the run.")
@click.option("--data", type=_FOLDER, help="Folder that `data:` paths of the configuration start from.")
@click.option("--seed", type=int, help="Another seed than the configuration's; the output folder gets -sSEED.")
@click.option("--rules-only", is_flag=True, help="Train nothing: set the thresholds of the finished run anew, on dev.")
def train(config_file: Path, data: Path | None, seed: int | None, rules_only: bool) -> None:
    """Fine-tune one encoder for entity tags, event types, triggers and roles."""
    from training.finetune import set_rules_anew
    from training.finetune import train as run
    from training.train_config import TrainConfig

    config = load_config(TrainConfig, config_file)
    if seed is not None:
        config = config.with_seed(seed)
    try:
        if rules_only:
            click.echo(report_markdown(set_rules_anew(config, data), f"{config.output.name} on dev"))
            return
        result = run(config, data)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(result.alignment.summary())
    click.echo(report_markdown(result.dev, f"{config.output.name} on dev"))


@click.command()
@click.option("--config", "config_file", type=_FILE, required=True, help="The TOML file that the runs were trained with.")
@click.option("--data", type=_FOLDER, help="Folder that `data:` paths of the configuration start from.")
@click.option("--seed", "seeds", type=int, multiple=True, required=True, help="Of a finished run; give two or more.")
def average(config_file: Path, data: Path | None, seeds: tuple[int, ...]) -> None:
    """Make one model of finished runs that differ in their seed alone: the mean of their weights."""
    from training.average import average as run
    from training.train_config import TrainConfig

    config = load_config(TrainConfig, config_file)
    try:
        result = run(config, seeds, data)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(report_markdown(result, f"{config.output.name} on dev"))


@click.command()
@click.option("--gold", type=_FILE, required=True, help="Gold JSONL: one annotated text a line.")
@click.option(
    "--pred", type=_FILE, required=True, help="Predictions of the same ids, as `marsad score` or /analyze gives them."
)
@click.option("--schema", "schema_file", type=_FILE, default=DEFAULT_SCHEMA, help="Label schema; the default is Marsad's.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead of Markdown.")
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for report.json, report.md and pictures."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("--trained-on", multiple=True, type=_FILE, help="Annotated JSONL; its names are judged apart from unseen ones.")
@click.option("--baseline", type=_FILE, help="Predictions of another model: what is gained on it, with paired intervals.")
@click.option("--errors", type=click.Path(dir_okay=False, path_type=Path), help="JSONL to write, one error a line.")
def evaluate(
    *,
    gold: Path,
    pred: Path,
    schema_file: Path,
    as_json: bool,
    output: Path | None,
    seed: int,
    trained_on: tuple[Path, ...],
    baseline: Path | None,
    errors: Path | None,
) -> None:
    """Compare predictions with gold; needs the two files and no model."""
    schema = load_schema(schema_file)
    annotations = _gold(gold, schema)
    predictions, failed = _predictions_for(annotations, gold, pred, schema)
    seen = (e.span.of(a.text) for path in trained_on for a in read_annotations(path) for e in a.entities)
    names = frozenset(seen) if trained_on else None
    result = evaluate_by_schema(annotations, predictions, schema, known_names=names, seed=seed)
    if failed:
        click.echo(f"{failed} records hold an error in place of a prediction; they count as predicted empty", err=True)
    if errors is not None:
        written = write_jsonl(errors, list_errors(annotations, predictions))
        click.echo(f"{errors}: {written} errors", err=True)
    if output is not None:
        write_report(result, output, f"{pred.name} against {gold.name}")
    title = f"{pred.name} against {gold.name}"
    if baseline is None:
        click.echo(_shown(result, title, as_json=as_json))
        return
    others, _ = _predictions_for(annotations, gold, baseline, schema)
    if absent := len(annotations) - len(others):
        click.echo(f"{baseline}: {absent} records have no answer or an error; they count as predicted empty", err=True)
    gains = compare(annotations, predictions, others, schema, seed=seed)
    if as_json:
        figures = {part: asdict(gain) for part, gain in gains.items()}
        click.echo(json.dumps(json.loads(report_json(result)) | {"gains": figures}, ensure_ascii=False, indent=1))
    else:
        click.echo(report_markdown(result, title) + "\n" + gains_markdown(gains, baseline.name))


@click.command()
@click.argument("run", type=_FOLDER)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The model folder to write.")
@click.option("--name", help="The model's name; the folder's by default.")
@click.option(
    "--report",
    "reports",
    type=(str, _FILE),
    multiple=True,
    metavar="SPLIT FILE",
    help="A report.json to put into the manifest.",
)
@click.option("--onnx", is_flag=True, help="A graph for ONNX Runtime as well, which is what runs on CUDA.")
@click.option("--force", is_flag=True, help="Replace a folder that is there.")
def export(
    run: Path, output: Path, *, name: str | None, reports: tuple[tuple[str, Path], ...], onnx: bool, force: bool
) -> None:
    """Turn the finished run RUN into a model folder: served graph, tokenizer, schema, thresholds, manifest, card. A run of
    `marsad pretrain` becomes a plain encoder with a card. With --onnx RUN may be a model folder, which is copied."""
    from training.export import add_onnx, export_run
    from training.export_encoder import export_encoder, is_pretraining_run
    from training.served import is_served

    if is_pretraining_run(run):
        if reports or onnx:
            raise click.UsageError("--report and --onnx are for runs of `marsad train`; a pre-training run has no heads")
        click.echo(f"encoder written to {export_encoder(run, output, name=name or output.name, force=force)}")
        return
    if onnx and is_served(str(run)):
        if reports or name:
            raise click.UsageError(f"--report and --name are for runs; {run} is a model folder and keeps its own")
        folder = add_onnx(ModelFolder.open(run), output, force=force)
    else:
        folder = export_run(run, output, name=name or output.name, reports=dict(reports), force=force, onnx=onnx)
    click.echo(f"{folder.id} written to {folder.path}")


def _shown(result: Evaluation, title: str, *, as_json: bool) -> str:
    return report_json(result) if as_json else report_markdown(result, title)


def _predictions_for(
    gold: Sequence[Annotation], file: Path, path: Path, schema: LabelSchema
) -> tuple[Mapping[str, Prediction], int]:
    """The predictions in `path` and how many are errors; none may be of a record that the gold `file` lacks."""
    predictions, failed = _predictions(path, schema)
    if stray := predictions.keys() - {a.id for a in gold}:
        raise RecordError(str(path), f"{len(stray)} ids are not in {file}, such as {sorted(stray)[0]!r}")
    return predictions, failed


def _gold(path: Path, schema: LabelSchema) -> list[Annotation]:
    found: dict[str, Annotation] = {}
    for where, record in read_jsonl(path):
        annotation = parse_annotation(record, where)
        schema.check((e.label for e in annotation.entities), annotation.event_types, where)
        if annotation.id in found:
            raise RecordError(where, f"id {annotation.id!r} stands twice in the gold file")
        found[annotation.id] = annotation
    return list(found.values())


def _predictions(path: Path, schema: LabelSchema) -> tuple[Mapping[str, Prediction], int]:
    found: dict[str, Prediction] = {}
    failed = 0
    for where, record in read_jsonl(path):
        prediction = parse_prediction(record, where)
        if not isinstance(prediction, Prediction):
            failed += 1
            continue
        schema.check((e.label for e in prediction.entities), prediction.event_types, where)
        if prediction.id in found:
            raise RecordError(where, f"id {prediction.id!r} is predicted twice")
        found[prediction.id] = prediction
    return found, failed

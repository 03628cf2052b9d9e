"""The command's front door: `marsad VERB`. A verb's module is imported only when it is called, so that `marsad --help`
answers at once and a machine without torch can serve and score."""

import importlib
import logging
import sys

import click

from labels import __version__
from labels.errors import MarsadError

VERBS = {
    "tag": ("serving.tag:tag", "Read a text and show who, where and what happened."),
    "score": ("serving.batch.cli:score", "Score files of documents: JSONL, CSV, TSV, Parquet, plain text."),
    "split": ("serving.batch.split:split", "Cut large files into shards, for many machines to score."),
    "serve": ("serving.cli:serve", "Answer over HTTP."),
    "labels": ("labels.cli:labels", "Check, count and convert annotated files."),
    "pretrain": ("training.cli:pretrain", "Train a tokenizer and a BERT encoder from texts."),
    "train": ("training.cli:train", "Fine-tune a model for entities and event types."),
    "average": ("training.cli:average", "Make one model of runs that differ in their seed."),
    "evaluate": ("training.cli:evaluate", "Compare predictions with gold."),
    "export": ("training.cli:export", "Write the model folder that serving reads."),
}
EXTRAS = {"serving": "serve", "training": "train"}


class _Verbs(click.Group):
    """Commands that are imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        module_name, attribute = VERBS[cmd_name][0].split(":")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            room = module_name.split(".")[0]
            if error.name and error.name.split(".")[0] in ("labels", "training", "serving"):
                raise
            raise click.ClickException(
                f"`marsad {cmd_name}` needs the package {error.name!r}: pip install 'marsad[{EXTRAS.get(room, room)}]'"
            ) from error
        return getattr(module, attribute)  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="marsad")
@click.option("-v", "--verbose", is_flag=True, help="Say more of what is being done.")
def cli(verbose: bool) -> None:
    """Marsad reads Arabic conflict news and says who did what to whom, and where."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    for noisy in ("gensim", "datasets", "urllib3", "httpx", "filelock"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 usage or bad input."""
    try:
        cli.main(standalone_mode=True)
    except MarsadError as error:
        click.echo(f"marsad: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()

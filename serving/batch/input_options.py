"""How the files of documents are to be read: the options that the verbs reading them share."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from serving.batch.columns import Columns

FIELDS = ("id", "text", "published", "source")
"""Of a document, in the order of `Columns`."""

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--input-format", type=click.Choice(["jsonl", "csv", "tsv", "parquet", "txt"]), help="By the name if not given."
    ),
    *(click.option(f"--{name}", f"{name}_column", default=name, show_default=True, metavar="COLUMN") for name in FIELDS),
    click.option("--delimiter", help="Of CSV; a comma if not given, a tab for .tsv."),
    click.option(
        "--ids",
        type=click.Choice(["unique", "any", "required"]),
        default="unique",
        show_default=True,
        help="unique: an id that stood before is an error, a missing one is made up; required: so is that; any: neither.",
    ),
)


def input_options(command: Command) -> Command:
    """Adds them, in the order of the help."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def columns_of(options: Mapping[str, Any]) -> Columns:
    return Columns(*(options[f"{name}_column"] for name in FIELDS))


def delimiter_of(options: Mapping[str, Any]) -> str | None:
    r"""One character, where `\t` stands for a tab; click.UsageError for more."""
    if (given := options["delimiter"]) is None:
        return None
    if len(delimiter := given.replace("\\t", "\t")) != 1:
        raise click.UsageError(f"--delimiter: expected one character, found {delimiter!r}")
    return str(delimiter)

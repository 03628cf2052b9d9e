"""What serving takes on disk, package by package, and that torch is not among it:
`python -m benchmarks.installed_size --environment .venv-serve`"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

import click

from benchmarks.table import markdown_table, write_json
from labels.errors import MarsadError

TOP = 10
# Training's weight; serving reads a model folder without them.
UNWANTED = ("torch", "transformers")
UNOWNED = "(files of no package)"


class SizeError(MarsadError):
    """A folder that is no virtual environment, or one that holds what it should not."""


def site_packages(environment: Path) -> Path:
    """Where `environment` keeps its packages, on Linux, macOS and Windows."""
    found = [*sorted(environment.glob("lib/python3*/site-packages")), *environment.glob("Lib/site-packages")]
    if not found:
        raise SizeError(f"{environment}: no site-packages; make the environment first: make .venv-serve/ready")
    return found[0]


def measure(packages: Path) -> dict[str, int]:
    """Bytes of each distribution's files, compiled modules too, largest first. The sum is that of all files in the
    folder: what no distribution lists as its own stands under UNOWNED."""
    sizes = {file: file.lstat().st_size for file in packages.rglob("*") if file.is_file() and not file.is_symlink()}
    left = dict(sizes)
    owned: dict[str, int] = {}
    for distribution in distributions(path=[str(packages)]):
        name = str(distribution.metadata["Name"])
        for file in _files(distribution):
            owned[name] = owned.get(name, 0) + left.pop(file, 0)
            for compiled in _compiled(file):
                owned[name] += left.pop(compiled, 0)
    if left:
        owned[UNOWNED] = sum(left.values())
    return dict(sorted(owned.items(), key=lambda item: -item[1]))


def refuse_unwanted(packages: Path) -> None:
    """SizeError if training's libraries are there, as packages or as folders that can be imported."""
    names = {str(each.metadata["Name"]).lower() for each in distributions(path=[str(packages)])}
    if there := [name for name in UNWANTED if name in names or (packages / name).exists()]:
        raise SizeError(f"{packages}: holds {', '.join(there)}; expected an environment of requirements/serve.txt alone")


def size_table(sizes: dict[str, int]) -> str:
    """The largest, the rest together, and the total, in megabytes of a million bytes."""
    rows = [[name, f"{size / 1e6:,.1f}"] for name, size in list(sizes.items())[:TOP]]
    rest = list(sizes.values())[TOP:]
    rows += [[f"{len(rest)} others", f"{sum(rest) / 1e6:,.1f}"], ["**total**", f"**{sum(sizes.values()) / 1e6:,.1f}**"]]
    return markdown_table(["package", "MB"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.installed_size", description=__doc__)
    parser.add_argument("--environment", type=Path, default=Path(".venv-serve"), help="virtual environment (.venv-serve)")
    parser.add_argument("--output", type=Path, help="JSON of all packages")
    given = parser.parse_args(arguments)
    try:
        packages = site_packages(given.environment)
        sizes = measure(packages)
        click.echo(f"## Installed size of {given.environment.name}\n\n{size_table(sizes)}")
        if given.output is not None:
            write_json(given.output, {"bytes": sizes, "total": sum(sizes.values())})
        refuse_unwanted(packages)
    except MarsadError as error:
        click.echo(f"benchmarks.installed_size: {error}", err=True)
        return 1
    return 0


def _files(distribution: Distribution) -> list[Path]:
    return [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]


def _compiled(file: Path) -> list[Path]:
    """The compiled forms of a module, which not every installer lists."""
    return list((file.parent / "__pycache__").glob(f"{file.stem}.*.pyc")) if file.suffix == ".py" else []


if __name__ == "__main__":
    sys.exit(main())

"""Other people's names with ANERcorp's labels, to learn from beside it:
`python -m benchmarks.auxiliary --gold FOLDER/gold -o runs/names/auxiliary.conll`

AQMAR is encyclopaedia, CARANER news of the pandemic, Wojood (the public sample) news and law. Their guides are their own: a
country is an organisation in Wojood where it acts, and a place in the others.
"""

import argparse
import csv
import lzma
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from labels.errors import TrainingError

# A label that is not named here is none of ANERcorp's four and its words are O.
_AQMAR = {"PER": "PERS", "LOC": "LOC", "ORG": "ORG", "MIS": "MISC"}
_CARANER = {"PER": "PERS", "LOC": "LOC", "ORG": "ORG", "MIS": "MISC"}
_WOJOOD = {"PERS": "PERS", "GPE": "LOC", "LOC": "LOC", "FAC": "LOC", "ORG": "ORG", "NORP": "MISC"}

Sentence = list[tuple[str, str]]


def read_conll(file: Path, names: Mapping[str, str]) -> Iterator[Sentence]:
    """Word and tag a line, an empty line between sentences."""
    sentence: Sentence = []
    with lzma.open(file, "rt", encoding="utf-8-sig") as lines:
        for line in lines:
            parts = line.split()
            if len(parts) >= 2:
                sentence.append((parts[0], _tag(parts[-1], names)))
            elif sentence:
                yield sentence
                sentence = []
    if sentence:
        yield sentence


def read_caraner(file: Path) -> Iterator[Sentence]:
    """The label after a second look."""
    sentence: Sentence = []
    number = ""
    with lzma.open(file, "rt", encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            if row["Sentence_ID"] != number and sentence:
                yield sentence
                sentence = []
            number = row["Sentence_ID"]
            word = "".join(row["Word"].split())
            if word:
                sentence.append((word, _tag(row["Revised_Label"].replace("_", "-", 1), _CARANER)))
    if sentence:
        yield sentence


def _tag(given: str, names: Mapping[str, str]) -> str:
    """B-MIS1 is B-MISC; what cannot be read is O."""
    place, _, label = given.partition("-")
    name = names.get(re.sub(r"[\d`]+$", "", label))
    return f"{place}-{name}" if place in {"B", "I"} and name else "O"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.auxiliary", description=__doc__)
    parser.add_argument("--gold", type=Path, required=True, help="folder of the gold sets (docs/data.md)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    sources = {
        "aqmar.conll.xz": lambda file: read_conll(file, _AQMAR),
        "caraner.csv.xz": read_caraner,
        "wojood_sample_train.conll.xz": lambda file: read_conll(file, _WOJOOD),
    }
    try:
        if missing := [name for name in sources if not (given.gold / name).is_file()]:
            raise TrainingError(f"{given.gold}: has no {missing[0]}; docs/data.md says where it comes from")
        with given.output.open("w", encoding="utf-8") as out:
            for name, read in sources.items():
                counts: Counter[str] = Counter()
                for sentence in read(given.gold / name):
                    counts["sentences"] += 1
                    counts.update(tag[2:] for _, tag in sentence if tag.startswith("B-"))
                    out.writelines(f"{word} {tag}\n" for word, tag in sentence)
                    out.write("\n")
                click.echo(f"{name}: {dict(counts)}", err=True)
    except (TrainingError, OSError) as error:
        click.echo(f"benchmarks.auxiliary: {error}", err=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

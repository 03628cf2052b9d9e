"""An output that is a folder: each input has a file of its own there, with a ledger of its own, so that many machines may work
at one job and each file is done once."""

from dataclasses import replace
from pathlib import Path

from serving.batch.inputs import InputFile
from serving.batch.job import Request
from serving.batch.packing import PACKERS
from serving.batch.sinks import Content, OutputFormat, Sink
from serving.errors import FileError


def is_folder(output: str) -> bool:
    """Whether what was given for the output means a folder: one that is there, or a name that ends like one."""
    return output.endswith("/") or Path(output).is_dir()


def shards_of(request: Request, folder: Path, content: Content, form: OutputFormat) -> list[Request]:
    """A request for each input, whose output lies in `folder` under the input's name. The folders are made. FileError where
    two would have the same name."""
    shards: dict[Path, InputFile] = {}
    for file in request.files:
        if file.is_stdin:
            raise FileError(f"{folder}: is a folder, which takes a file for each input; standard input has no name")
        path = folder / f"{_stem(file.name)}.{form}"
        if (twin := shards.setdefault(path, file)) is not file:
            raise FileError(f"{path}: would hold the answers of {twin.path} and {file.path}; give them different names")
        path.parent.mkdir(parents=True, exist_ok=True)
    return [_shard(request, file, Sink.at(path, content, form)) for path, file in shards.items()]


def _shard(request: Request, file: InputFile, sink: Sink) -> Request:
    return replace(request, files=(file,), sinks=(sink,))


def _stem(name: str) -> str:
    """news/a.jsonl.gz: news/a. Never out of the folder that it is put in."""
    path = Path(*(part for part in Path(name.lstrip("/")).parts if part != ".."))
    path = path.with_suffix("") if path.suffix in PACKERS else path
    return path.with_suffix("").as_posix()

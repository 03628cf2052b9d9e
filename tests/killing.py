"""Runs `marsad score` over and over, each time killed with SIGKILL at a random moment, until it has been killed so many times;
whenever it came to its end its files are compared with those of a run that was let alone.

    python -m tests.killing FOLDER KILLS SEED    (a process of its own: it forks, and its children start threads)

Prints what it saw as JSON.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from serving.batch.cli import score

OUTPUTS = ("out.jsonl", "entities.parquet", "documents.csv.gz", "out.jsonl.quarantine.jsonl")


def start(folder: Path, arguments: list[str]) -> int:
    """`marsad score` in a child that shares nothing but the modules; its process id."""
    child = os.fork()
    if child:
        return child
    try:
        os.chdir(folder)
        os.dup2(os.open(folder.parent / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        score.main(arguments, standalone_mode=True)
    except SystemExit as error:
        os._exit(int(error.code or 0))
    finally:
        os._exit(70)


def ended(child: int) -> int | None:
    """Its exit code; None if it was killed."""
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def main(root: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    arguments = [str(root / "in.jsonl"), "-o", OUTPUTS[0], "--also", f"entities={OUTPUTS[1]}", "--also"]
    arguments += [f"documents={OUTPUTS[2]}", "--model", str(root / "model"), "--threads", "1", "--part-rows", "10"]
    alone = root / "alone"
    alone.mkdir()
    began = time.monotonic()
    code = ended(start(alone, arguments))
    seconds = time.monotonic() - began
    expected, codes = contents(alone), {code}
    seen = {"kills": 0, "finished": 0, "different": 0, "with parts": 0, "codes": []}
    work = root / "work"
    while seen["kills"] < kills or seen["finished"] == 0:
        work.mkdir(exist_ok=True)
        child = start(work, arguments)
        time.sleep(chance.uniform(0, seconds))
        if seen["kills"] < kills:
            os.kill(child, signal.SIGKILL)
        code = ended(child)
        if code is None:
            seen["kills"] += 1
            seen["with parts"] += (work / "out.jsonl.parts" / "000000.0").exists()
            continue
        codes.add(code)
        seen["finished"] += 1
        seen["different"] += contents(work) != expected or sorted(os.listdir(work)) != sorted(os.listdir(alone))
        shutil.rmtree(work)
    sys.stdout.write(json.dumps(seen | {"codes": sorted(codes)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

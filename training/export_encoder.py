"""Turn a finished pre-training run into the folder that is given away: a plain encoder in 16 bits, with a card."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from labels import __version__
from labels.errors import ConfigError, FolderError
from training.provenance import PROVENANCE, provenance_section, read_provenance
from training.served import WEIGHTS

LOG = Path("work") / "loss.jsonl"
CURVE_ROWS = 12


def is_pretraining_run(run: Path) -> bool:
    """Whether `run` is a finished output folder of `marsad pretrain`."""
    return (run / LOG).is_file() and (run / WEIGHTS).is_file()


def export_encoder(run: Path, output: Path, *, name: str, force: bool = False) -> Path:
    """Write `output` from the folder of a `marsad pretrain` run; it appears whole or not at all. `AutoModel` and
    `AutoTokenizer` load it, in 32 bits, as the configuration says."""
    if not is_pretraining_run(run):
        raise ConfigError(f"{run}: expected the output folder of `marsad pretrain`, with {WEIGHTS} and {LOG}")
    if output.exists() and not force:
        raise FolderError(f"{output} is there already; give --force to replace it")
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", PROVENANCE):
        shutil.copyfile(run / file, partial / file)
    weights = load_file(run / WEIGHTS)
    save_file({key: value.half().contiguous() for key, value in weights.items()}, partial / WEIGHTS, {"format": "pt"})
    encoder = AutoModel.from_pretrained(partial, trust_remote_code=False, dtype=torch.float32)
    config = json.loads((partial / "config.json").read_text(encoding="utf-8"))
    n_weights = sum(p.numel() for part, p in encoder.named_parameters() if not part.startswith("pooler."))
    (partial / "README.md").write_text(_card(name, config, n_weights, _log(run), read_provenance(run)), encoding="utf-8")
    if output.exists():
        shutil.rmtree(output)
    partial.rename(output)
    return output


def _log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]


def _card(name: str, config: dict[str, Any], n_weights: int, log: list[dict[str, Any]], data: list[dict[str, str]]) -> str:
    """Markdown, from what the run left behind alone."""
    measured = [entry for entry in log if any(key.startswith("held_out_") for key in entry)]
    shown = measured[:: max(1, len(measured) // CURVE_ROWS)]
    shown += measured[-1:] if measured and shown[-1] is not measured[-1] else []
    losses = [key for key in (shown[0] if shown else {}) if "loss" in key]
    lines = [
        f"# {name}",
        "",
        f"A {config['model_type']} encoder, {n_weights / 1e6:.1f} M weights ({config['num_hidden_layers']} layers, width "
        f"{config['hidden_size']}, {config['vocab_size']:,} pieces, rows of at most {config['max_position_embeddings']}), "
        "pre-trained on Arabic news and encyclopaedia text. It knows no labels: fine-tune it.",
        "",
        "    from transformers import AutoModel, AutoTokenizer",
        "    tokenizer, encoder = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path)",
        "",
        "The tokenizer removes diacritics and tatweel, folds alef forms, and parts proclitics from words; offsets point into",
        f"the text as given. Weights are stored in 16 bits. Made by Marsad {__version__}.",
        "",
        *provenance_section(data),
        "",
        "## Last stage of training",
        "",
        f"| step | million pieces | {' | '.join(key.replace('_', ' ') for key in losses)} |",
        f"| ---: | ---: |{' ---: |' * len(losses)}",
        *(
            f"| {entry['step']:,} | {entry['pieces'] / 1e6:.1f} | {' | '.join(f'{entry[key]:.3f}' for key in losses)} |"
            for entry in shown
        ),
    ]
    return "\n".join(lines) + "\n"

"""Pre-train an encoder: `marsad pretrain --config X.toml --texts FOLDER`, or the same under `torchrun`.

The folder that comes out is plain: `AutoModel.from_pretrained` and `AutoTokenizer.from_pretrained` load it without any
code of ours. Every step depends on the configuration and the step's number alone, so a run that was killed goes on from
its last checkpoint along the same loss curve, on as many processes as there are then.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from labels.errors import ConfigError
from training.bases import longest_row
from training.embeddings import word2vec_embeddings
from training.encoders import build_encoder, encoder_of, load_masked_lm
from training.initialization import position_width, start_from_neighbours, start_pieces
from training.memory import keep_freed_memory
from training.objectives import ReplacedPieces
from training.piece_file import PIECES, Pieces, open_pieces, write_pieces
from training.pretrain_config import PretrainConfig
from training.pretrain_data import iter_paragraphs
from training.pretrain_loop import PretrainingLoop
from training.processes import join_processes
from training.provenance import entries_of, read_provenance, write_provenance
from training.tokenizer import train_tokenizer, wrap_tokenizer

WORD2VEC_PIECES = 12_000_000


def pretrain(config: PretrainConfig, texts: Path | None, *, prepare_only: bool = False) -> Path:
    """Run or resume `config` over the files of `texts`; returns the finished encoder folder. `prepare_only` ends when the
    tokenizer is trained and the texts are encoded: `output/work` can then be carried to another machine, where the run
    needs no texts."""
    keep_freed_memory()
    with join_processes(config.batch_rows) as processes:
        work = config.output / "work"
        if processes.first:
            _prepare(config, texts, work)
        processes.wait()
        if prepare_only:
            return work
        tokenizer = _load_tokenizer(work)
        model = _model(config, open_pieces(work), tokenizer, work)
        loop = PretrainingLoop(config, model, tokenizer, work, processes)
        loop.run()
        if processes.first:
            _save(config, loop.objective, tokenizer, work)
        processes.wait()
    return config.output


def _prepare(config: PretrainConfig, texts: Path | None, work: Path) -> None:
    """Tokenizer and pieces, unless an earlier start made them."""
    work.mkdir(parents=True, exist_ok=True)
    _check_same_run(config, work / "config.json")
    ready = (work / PIECES).exists() or (work / f"{PIECES}.xz").exists()
    if ready and (work / "tokenizer.json").exists():
        return
    if texts is None:
        raise ConfigError(f"{work} holds no encoded texts; say where the texts are with --texts FOLDER")
    if not (work / "tokenizer.json").exists():
        _tokenizer(config, texts).save_pretrained(work)
    tokenizer = _load_tokenizer(work)
    inner: Tokenizer = tokenizer.backend_tokenizer
    inner.no_truncation()  # a base may have been saved with either set
    inner.no_padding()
    write_provenance(work, entries_of("pretrain", [texts / source.file for source in config.texts]))
    write_pieces(iter_paragraphs(texts, config.texts), inner, int(tokenizer.sep_token_id), work)


def _check_same_run(config: PretrainConfig, path: Path) -> None:
    """Refuse to go on with another corpus, tokenizer or shape; length and schedule of the run may change."""
    kept = ("texts", "encoder", "base", "objective", "optimizer", "seed", "row_length", "batch_rows", "mask_share")
    fixed = {key: value for key, value in asdict(config).items() if key in kept}
    text = json.dumps(fixed, default=str, sort_keys=True, indent=1)
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{config.output} holds a run of another configuration ({path}); choose another output")


def _tokenizer(config: PretrainConfig, texts: Path) -> PreTrainedTokenizerBase:
    if config.base:
        return _load_tokenizer(Path(config.base))
    documents = iter_paragraphs(texts, config.texts)
    sample = (paragraph for i, paragraphs in enumerate(documents) if i % 3 == 0 for paragraph in paragraphs)
    return wrap_tokenizer(train_tokenizer(sample, config.encoder.vocab_size), config.encoder.max_pieces)


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder}: no tokenizer that loads: {error}") from error
    missing = [name for name in ("cls_token", "sep_token", "mask_token") if getattr(tokenizer, name) is None]
    if missing or not tokenizer.is_fast:
        raise ConfigError(
            f"{folder}: pre-training needs a fast tokenizer with [CLS], [SEP] and [MASK]; missing: {missing or 'fast'}"
        )
    return cast("PreTrainedTokenizerFast", tokenizer)


def _model(config: PretrainConfig, pieces: Pieces, tokenizer: PreTrainedTokenizerFast, work: Path) -> PreTrainedModel:
    torch.manual_seed(config.seed)
    if config.base:
        return _base_model(config)
    model = build_encoder(config.encoder, tokenizer.backend_tokenizer)
    neighbours = config.neighbour_start and config.encoder.architecture == "bert"
    vectors = _word2vec(config, pieces, len(tokenizer), work / "start.npy", neighbours=neighbours)
    if neighbours:
        start_from_neighbours(model, vectors, config.seed)
    elif vectors is not None:
        start_pieces(model, vectors)
    return model


def _base_model(config: PretrainConfig) -> PreTrainedModel:
    model = load_masked_lm(config.base)
    limit, row = longest_row(encoder_of(model)), max(config.row_length, config.long_row_length if config.long_share else 0)
    if limit is not None and row > limit:
        raise ConfigError(f"rows of {row} pieces are too long for base {config.base!r}, which takes at most {limit}")
    return model


def _word2vec(
    config: PretrainConfig, pieces: Pieces, vocab_size: int, path: Path, *, neighbours: bool
) -> npt.NDArray[np.float32] | None:
    if not config.word2vec_start:
        return None
    if not path.exists():
        width = config.encoder.embedding_width or config.encoder.width
        width -= position_width(width) if neighbours else 0
        vectors = word2vec_embeddings(pieces[:WORD2VEC_PIECES], vocab_size=vocab_size, width=width, seed=config.seed)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, vectors)
        partial.rename(path)
    loaded: npt.NDArray[np.float32] = np.load(path)
    return loaded


def _save(config: PretrainConfig, objective: nn.Module, tokenizer: PreTrainedTokenizerFast, work: Path) -> None:
    """The encoder, with its head for masked pieces where that was trained."""
    model: PreTrainedModel = objective.model  # type: ignore[assignment]
    saved = encoder_of(model) if isinstance(objective, ReplacedPieces) else model
    saved.float().save_pretrained(config.output)
    tokenizer.save_pretrained(config.output)
    seen = read_provenance(Path(config.base)) if config.base else []
    write_provenance(config.output, [*seen, *read_provenance(work)])

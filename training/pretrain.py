"""Pre-train a BERT encoder by masked language modelling: `marsad pretrain --config X.toml --texts FOLDER`.

The folder that comes out is a plain BERT: `AutoModel.from_pretrained` and `AutoTokenizer.from_pretrained` load it
without any code of ours. Every step depends on the configuration and the step's number alone, so a run that was
killed goes on from its last checkpoint along the same loss curve.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from labels.errors import ConfigError
from training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from training.embeddings import word2vec_embeddings
from training.initialization import position_width, start_from_neighbours
from training.precision import autocast_dtype
from training.pretrain_data import PieceRows, TextSource, encode_texts, iter_paragraphs
from training.provenance import entries_of, write_provenance
from training.tokenizer import SPECIAL_PIECES, piece_id, save_tokenizer, train_tokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of the BERT; `max_pieces` is the longest input it will ever take."""

    vocab_size: int = 24_000
    layers: int = 6
    width: int = 256
    heads: int = 4
    max_pieces: int = 256
    initializer_range: float = 0.02


@dataclass(frozen=True)
class PretrainConfig:
    """One pre-training run. `pieces` counts every piece read, repeats included; the learning rate rises over
    `warmup_steps`, stays, and falls to zero over the last `decay_share` of the steps. Short rows learn fastest; over
    the last `long_share` of the steps rows are `long_row_length`, fewer to a batch, so that far positions are learnt too."""

    output: Path
    texts: tuple[TextSource, ...]
    encoder: EncoderConfig = EncoderConfig()
    pieces: int = 30_000_000
    row_length: int = 64
    batch_rows: int = 32
    long_row_length: int = 128
    long_share: float = 0.0
    learning_rate: float = 7e-4
    warmup_steps: int = 500
    decay_share: float = 0.3
    weight_decay: float = 0.01
    mask_share: float = 0.2
    word2vec_start: bool = True
    neighbour_start: bool = True
    compile: bool = False
    checkpoint_steps: int = 500
    seed: int = 1

    def __post_init__(self) -> None:
        for length in (self.row_length, self.long_row_length):
            if length > self.encoder.max_pieces:
                raise ValueError(f"rows of {length} exceed encoder.max_pieces {self.encoder.max_pieces}")
        if not 0 < self.mask_share < 1 or not 0 <= self.decay_share <= 1:
            raise ValueError(f"mask_share {self.mask_share} and decay_share {self.decay_share} must be shares of 1")

    @property
    def steps(self) -> int:
        return max(1, self.pieces // (self.row_length * self.batch_rows))

    def learning_rate_at(self, step: int) -> float:
        rise = min(1.0, (step + 1) / max(1, self.warmup_steps))
        fall = min(1.0, (self.steps - step) / max(1.0, self.decay_share * self.steps))
        return self.learning_rate * rise * fall


@dataclass(frozen=True)
class MaskedBatch:
    """`ids` `(rows, length)` after masking; `positions` `(masked,)` into the flattened rows; `targets` `(masked,)`."""

    ids: Tensor
    positions: Tensor
    targets: Tensor


def mask_pieces(rows: Tensor, *, share: float, special: int, mask: int, vocab_size: int, seed: tuple[int, int]) -> MaskedBatch:
    """Hide a fixed number of the ordinary pieces (ids of `special` and above): 80 % become [MASK], 10 % another
    piece, 10 % stay. The number is fixed so that every step has the same shapes."""
    draw = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))
    scores = torch.rand(rows.shape, generator=draw).masked_fill(rows < special, 2.0).flatten()
    count = max(1, int(share * rows.numel()))
    positions = scores.argsort()[:count]
    targets = rows.flatten()[positions]
    fate = torch.rand(count, generator=draw)
    other = torch.randint(special, vocab_size, (count,), generator=draw)
    shown = torch.where(fate < 0.8, torch.full_like(targets, mask), torch.where(fate < 0.9, other, targets))
    ids = rows.flatten().scatter(0, positions, shown).view_as(rows)
    return MaskedBatch(ids, positions, torch.where(targets >= special, targets, torch.full_like(targets, -100)))


def pretrain(config: PretrainConfig, texts: Path) -> Path:
    """Run or resume `config` over the files of `texts`; returns the finished encoder folder."""
    work = config.output / "work"
    work.mkdir(parents=True, exist_ok=True)
    _check_same_run(config, work / "config.json")
    tokenizer = _tokenizer(config, texts, work / "tokenizer.json")
    pieces = _pieces(config, texts, tokenizer, work / "pieces.npy")
    logger.info("%d pieces in the texts, %d to read in %d steps", len(pieces), config.pieces, config.steps)
    model = _model(config, pieces, tokenizer, work / "start.npy")
    for _ in _train(config, model, pieces, tokenizer, work):
        pass
    model.float().save_pretrained(config.output)
    save_tokenizer(tokenizer, config.output, config.encoder.max_pieces)
    write_provenance(config.output, entries_of("pretrain", [texts / source.file for source in config.texts]))
    return config.output


def _check_same_run(config: PretrainConfig, path: Path) -> None:
    """Refuse to go on with another corpus, tokenizer or shape; length and schedule of the run may change."""
    fixed = {
        key: value for key, value in asdict(config).items() if key in ("texts", "encoder", "seed", "row_length", "batch_rows")
    }
    text = json.dumps(fixed, default=str, sort_keys=True, indent=1)
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{config.output} holds a run of another configuration ({path}); choose another output")


def _tokenizer(config: PretrainConfig, texts: Path, path: Path) -> Tokenizer:
    if not path.exists():
        documents = iter_paragraphs(texts, config.texts)
        sample = (paragraph for i, paragraphs in enumerate(documents) if i % 3 == 0 for paragraph in paragraphs)
        train_tokenizer(sample, config.encoder.vocab_size).save(str(path))
    return Tokenizer.from_file(str(path))


def _pieces(config: PretrainConfig, texts: Path, tokenizer: Tokenizer, path: Path) -> npt.NDArray[np.uint16]:
    if not path.exists():
        partial = path.with_name("partial.npy")
        encode_texts(iter_paragraphs(texts, config.texts), tokenizer, partial)
        partial.rename(path)
    pieces: npt.NDArray[np.uint16] = np.load(path, mmap_mode="r")
    return pieces


def _model(config: PretrainConfig, pieces: npt.NDArray[np.uint16], tokenizer: Tokenizer, start: Path) -> BertForMaskedLM:
    torch.manual_seed(config.seed)
    shape = config.encoder
    bert = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        max_position_embeddings=shape.max_pieces,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=piece_id(tokenizer, "[PAD]"),
        initializer_range=shape.initializer_range,
    )
    bert._attn_implementation = "eager"  # on a CPU its backward pass is faster than the fused kernel's at these lengths
    model = BertForMaskedLM(bert)
    vectors = None
    if config.word2vec_start:
        if not start.exists():
            width = shape.width - position_width(shape.width)
            np.save(start, word2vec_embeddings(pieces[:12_000_000], vocab_size=bert.vocab_size, width=width, seed=config.seed))
        vectors = np.load(start)
    if config.neighbour_start:
        start_from_neighbours(model, vectors, config.seed)
    return model


class _Batches:
    """The rows of each step: short ones first, long ones over the last `long_share` of the steps."""

    def __init__(self, config: PretrainConfig, pieces: npt.NDArray[np.uint16], tokenizer: Tokenizer) -> None:
        cls, sep = piece_id(tokenizer, "[CLS]"), piece_id(tokenizer, "[SEP]")
        self.short = PieceRows(pieces, length=config.row_length, cls=cls, sep=sep, seed=config.seed)
        self.long = PieceRows(pieces, length=config.long_row_length, cls=cls, sep=sep, seed=config.seed + 1)
        self.short_rows = config.batch_rows
        self.long_rows = max(1, config.batch_rows * config.row_length // config.long_row_length)
        self.turn = round((1 - config.long_share) * config.steps)

    def __getitem__(self, step: int) -> npt.NDArray[np.int64]:
        if step < self.turn:
            return self.short.batch(step, self.short_rows)
        return self.long.batch(step - self.turn, self.long_rows)


def _train(
    config: PretrainConfig, model: BertForMaskedLM, pieces: npt.NDArray[np.uint16], tokenizer: Tokenizer, work: Path
) -> Iterator[tuple[int, float]]:
    """Train in place; yields each step's number and loss."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.nn.Module.to(model, device).train()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    first = 0
    if (checkpoint := latest_checkpoint(work)) is not None:
        first = load_checkpoint(checkpoint, model, optimizer)
        logger.info("resumed at step %d from %s", first, checkpoint)
    batches = _Batches(config, pieces, tokenizer)
    encoder = torch.compile(model.bert, dynamic=False) if config.compile else model.bert
    dtype = autocast_dtype(device)
    since, losses = time.monotonic(), []
    with (work / "loss.jsonl").open("a", encoding="utf-8") as log:
        for step in range(first, config.steps):
            batch = mask_pieces(
                torch.from_numpy(batches[step]),
                share=config.mask_share,
                special=len(SPECIAL_PIECES),
                mask=piece_id(tokenizer, "[MASK]"),
                vocab_size=model.config.vocab_size,
                seed=(config.seed, step),
            )
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate_at(step)
            with nullcontext() if dtype is None else torch.autocast(device.type, dtype):
                hidden = encoder(batch.ids.to(device)).last_hidden_state  # (rows, length, width)
                hidden = hidden.flatten(0, 1)[batch.positions.to(device)]  # (masked, width)
                logits = model.cls(hidden)  # (masked, vocab)
            loss = torch.nn.functional.cross_entropy(logits.float(), batch.targets.to(device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            done = step + 1
            if done % 100 == 0 or done == config.steps:
                seconds = time.monotonic() - since
                rate = len(losses) * config.row_length * config.batch_rows / seconds
                left = (config.steps - done) * seconds / len(losses)
                entry = {"step": done, "loss": round(sum(losses) / len(losses), 4), "pieces_per_second": round(rate)}
                log.write(json.dumps(entry) + "\n")
                log.flush()
                logger.info(
                    "step %d/%d  loss %.3f  %.0f pieces/s  %.0f min left", done, config.steps, entry["loss"], rate, left / 60
                )
                since, losses = time.monotonic(), []
            if done % config.checkpoint_steps == 0 or done == config.steps:
                save_checkpoint(work, done, model, optimizer)
            yield done, loss.item()

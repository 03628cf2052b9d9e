"""What an encoder from elsewhere must be like to be trained here, checked before the run and not in the middle of it."""

from torch import nn
from transformers import PreTrainedTokenizerBase

from labels.errors import ConfigError

SPECIAL_PIECES = 2  # [CLS] before a row and [SEP] after it, or what the base has in their place


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, base: str) -> None:
    """Offsets, special pieces, and that these stand around a text as `training/data.py` puts them: serving takes their
    place from the saved tokenizer, and both must read one row alike."""
    if not tokenizer.is_fast:
        raise ConfigError(f"base {base!r} has a slow tokenizer, which keeps no offsets; save it as tokenizer.json first")
    wanted = {
        "cls_token": tokenizer.cls_token_id,
        "sep_token": tokenizer.sep_token_id,
        "pad_token": tokenizer.pad_token_id,
    }
    if absent := [name for name, piece in wanted.items() if piece is None]:
        raise ConfigError(
            f"base {base!r} has a tokenizer without {', '.join(absent)}, so it is no encoder of BERT's kind; "
            "where only the names are missing, set them in its tokenizer_config.json"
        )
    whole, bare = (tokenizer("1", add_special_tokens=special)["input_ids"] for special in (True, False))
    if whole != [tokenizer.cls_token_id, *bare, tokenizer.sep_token_id]:
        found = " ".join(tokenizer.convert_ids_to_tokens(whole))
        expected = f"{tokenizer.cls_token} and {tokenizer.sep_token} around it"
        raise ConfigError(f"base {base!r} has a tokenizer that reads '1' as {found!r}; expected {expected} and nothing more")


def check_encoder(encoder: nn.Module, tokenizer: PreTrainedTokenizerBase, base: str, window: int) -> None:
    """That rows of `window` pieces have a position each, and that padding is what the encoder takes for padding."""
    limit = longest_row(encoder)
    row = window + SPECIAL_PIECES
    if limit is not None and row > limit:
        raise ConfigError(
            f"window {window} and {SPECIAL_PIECES} special pieces make rows of {row} pieces, and base {base!r} takes at most "
            f"{limit}; set window to {limit - SPECIAL_PIECES} or less"
        )
    positions = _position_table(encoder)
    counted_from = None if positions is None else positions.padding_idx
    if counted_from is not None and counted_from != tokenizer.pad_token_id:
        raise ConfigError(
            f"base {base!r} counts positions by padding id {counted_from}, and its tokenizer pads with "
            f"{tokenizer.pad_token_id}; one of the two is another model's"
        )


def longest_row(encoder: nn.Module) -> int | None:
    """The most pieces a row may have, special ones counted; None where the configuration names no limit. RoBERTa's kind
    counts positions from the padding id on, so that of 514 positions 512 can be used."""
    positions = _position_table(encoder)
    if positions is None:
        return getattr(encoder.config, "max_position_embeddings", None)
    return positions.num_embeddings - (0 if positions.padding_idx is None else positions.padding_idx + 1)


def first_position(encoder: nn.Module) -> int:
    """The place of a row's first piece in the table of positions."""
    positions = _position_table(encoder)
    return 0 if positions is None or positions.padding_idx is None else positions.padding_idx + 1


def _position_table(encoder: nn.Module) -> nn.Embedding | None:
    """The table of learnt positions; encoders with rotary or relative positions have none."""
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module
    return None

"""Tiny encoders of the layouts that bases on the hub have: the tokenizer classes and model classes are the real ones,
vocabularies and weights are made in code."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    ElectraConfig,
    ElectraModel,
    MegatronBertConfig,
    MegatronBertModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaTokenizer,
)

from tests.tiny import INLINE, gold
from training.tokenizer import save_tokenizer, train_tokenizer

GLUED = (
    "و[l1 بنغازي] هادئة، وقال ل[a1 داعش] قيادي فيه إن القتال مستمر.",
    "سلّم الأسرى ل[a1 لجيش الليبي] قرب [l1 سرت].",
    "عاد الوفد ول[a1 داعش] مقرات ب[l1 دمشق].",
    "وَ[l1 بَنْغازي] تحتفل، ولِـ[a1 داعـش] خلايا فيها.",
)
"""Names that begin inside a word: one letter, the second lam of لل, two letters, and letters with marks."""

POSITIONS = 64
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def texts() -> list[str]:
    return [a.text for a in gold(inline=INLINE + GLUED)]


def cut(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Heads of three characters and what follows them, so that a proclitic never has a piece to itself. Made by hand, as
    trainers of vocabularies do not always break ties in one way."""
    unique = sorted(set(words))
    return [word[:3] for word in unique], [word[3:] for word in unique if word[3:]]


def wordpiece(*, lower: bool) -> BertTokenizer:
    """As of AraBERT, CAMeLBERT and mBERT cased, which keep diacritics, or, with `lower`, of ARBERT and MARBERT, which
    drop them and the hamza of an alef with them."""
    normalizer, splitter = normalizers.BertNormalizer(lowercase=lower), pre_tokenizers.BertPreTokenizer()
    words = [word for text in texts() for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))]
    heads, tails = cut(words)
    characters = sorted(set("".join(words)))
    pieces = [*SPECIALS, *characters, *(f"##{c}" for c in characters), *heads, *(f"##{tail}" for tail in tails)]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return BertTokenizer(vocab=vocabulary, do_lower_case=lower)


def sentencepiece() -> XLMRobertaTokenizer:
    """As of XLM-R: a unigram model in which ▁ stands for the space before a word; padding has the id 1."""
    heads, tails = cut(word for text in texts() for word in re.findall(r"[^\s.،]+", text))
    longer = dict.fromkeys([*(f"▁{head}" for head in heads), *tails], -1.0)
    single = {c: -9.0 for c in sorted({"▁", *"".join(texts())}) if c not in longer}
    specials = dict.fromkeys(("<s>", "<pad>", "</s>", "<unk>"), 0.0)
    return XLMRobertaTokenizer(vocab=[*(specials | longer | single).items(), ("<mask>", 0.0)])


def byte_level() -> PreTrainedTokenizerFast:
    """As of ModernBERT: pieces of bytes, the space before a word in its first piece and in its offsets."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=480, special_tokens=SPECIALS, initial_alphabet=sorted(alphabet), show_progress=False
    )
    learner.train_from_iterator(texts(), trainer)
    learner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, learner.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=learner,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
        unk_token="[UNK]",
    )


def bert(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    return _made(BertModel, BertConfig(vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, **SIZE))


def xlm_roberta(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Positions count from the padding id on, and so two of them are never used."""
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=POSITIONS + 2, type_vocab_size=1, pad_token_id=1, **SIZE
    )
    return _made(XLMRobertaModel, config)


def megatron_bert(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    config = MegatronBertConfig(vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, **SIZE)
    return _made(MegatronBertModel, config)


def electra(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Factorised: embeddings narrower than the layers."""
    config = ElectraConfig(vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, embedding_size=16, **SIZE)
    return _made(ElectraModel, config)


def modern_bert(tokenizer: PreTrainedTokenizerBase, **changes: Any) -> PreTrainedModel:
    """Rotary positions, pre-norm; one of its two layers looks at the whole row, the other at four pieces on each side."""
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=None,
        eos_token_id=None,
        **SIZE | {"local_attention": 8, "global_attn_every_n_layers": 2} | changes,
    )
    return _made(ModernBertModel, config)


def modern_bert_full(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    return modern_bert(tokenizer, global_attn_every_n_layers=1)


def _made(kind: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(7)
    return kind(config)


def own(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of this project, which parts proclitics from names."""
    save_tokenizer(train_tokenizer(texts() * 3, vocab_size=400, min_frequency=1), folder, POSITIONS)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def save(folder: Path, tokenizer: PreTrainedTokenizerBase, model: Callable[[PreTrainedTokenizerBase], PreTrainedModel]) -> Path:
    """A folder as the hub has it."""
    model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


PARTED = {"modernbert, full attention"}  # those whose tokenizer parts proclitics, so that nothing is left to mend
LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "arabert": lambda folder: save(folder, wordpiece(lower=False), bert),
    "marbert": lambda folder: save(folder, wordpiece(lower=True), bert),
    "xlm-r": lambda folder: save(folder, sentencepiece(), xlm_roberta),
    "megatron": lambda folder: save(folder, wordpiece(lower=True), megatron_bert),
    "electra": lambda folder: save(folder, wordpiece(lower=False), electra),
    "modernbert": lambda folder: save(folder, byte_level(), modern_bert),
    "modernbert, full attention": lambda folder: save(folder, own(folder), modern_bert_full),
}

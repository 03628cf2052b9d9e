"""Decoding as plainly as it can be written: every piece is asked everything. What the package does faster must come to
the same answers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from labels.borders import Bond, is_mark, is_unlettered, name_starts
from labels.decode import DecodingRules, ScoredSpan
from labels.events import ScoredEvent, TriggerRun
from labels.iob import decode_tags
from labels.pairs import opens, pair_up
from labels.schema import LabelSchema
from labels.scores import SentenceScores
from labels.types import Span


def trim_pieces(offsets, text):
    return [trim_piece(start, end, text) for start, end in offsets]


def trim_piece(start, end, text):
    while start < end and (text[start].isspace() or is_unlettered(text[start])):
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def bond(before, after, text):
    if before[1] < after[0] and any(not is_unlettered(sign) for sign in text[before[1] : after[0]]):
        return Bond.NONE
    letters = [sign for sign in text[before[0] : before[1]] if not is_unlettered(sign)]
    if not (text[after[0]].isalnum() and (letters or text[before[0]])[-1].isalnum()):
        return Bond.NONE
    start = before[0]
    while start > 0 and (text[start - 1].isalnum() or is_unlettered(text[start - 1])):
        start -= 1
    return Bond.LEAD if after[0] in name_starts((start, after[1]), text)[1:] else Bond.WORD


def is_legal(before: str, after: str, tie: Bond) -> bool:
    if after.startswith("I-"):
        return before[2:] == after[2:]
    return {Bond.NONE: True, Bond.WORD: before == after == "O", Bond.LEAD: before == "O"}[tie]


def best_legal_path(log_probs, tags, bonds=None):
    """Viterbi from the first piece to the last."""
    best = [-np.inf if tag.startswith("I-") else float(each) for tag, each in zip(tags, log_probs[0], strict=True)]
    back = []
    for i in range(1, len(log_probs)):
        tie = Bond.NONE if bonds is None else bonds[i]
        through = np.array([[0.0 if is_legal(a, b, tie) else -np.inf for b in tags] for a in tags]) + np.array(best)[:, None]
        back.append(through.argmax(axis=0))
        best = through.max(axis=0) + log_probs[i]
    path = [int(np.argmax(best))]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    return path[::-1]


def log_softmax(scores):
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def decode_entities(scores, tags, offsets, text, temperature=1.0, borders=None, *, whole_words=False, paired_marks=False):
    textual = [i for i, (start, end) in enumerate(offsets) if start < end]
    if not textual:
        return []
    log_probs = log_softmax(scores[textual] / temperature)
    places = [offsets[i] for i in textual]
    bonds = [Bond.NONE]
    for before, place in pairwise(places):
        tie = bond(before, place, text) if whole_words else Bond.NONE
        bonds.append(Bond.LEAD if paired_marks and opens(before[1] - 1, text) else tie)
    path = best_legal_path(log_probs, tags, bonds)
    spans = decode_tags([tags[t] for t in path], places)
    found = []
    for rank, tagged in enumerate(spans):
        score = float(np.exp(np.mean([log_probs[i, path[i]] for i in range(tagged.first, tagged.last + 1)])))
        end = grow(tagged.span.end, text)
        if rank + 1 < len(spans) and spans[rank + 1].span.start > tagged.span.start:
            end = min(end, spans[rank + 1].span.start)
        whole = Span(tagged.span.start, end)
        if borders is not None:
            first = textual[tagged.first]
            starts = [start for start in name_starts(offsets[first], text) if start < end]
            whole = Span(starts[int(borders[first][: len(starts)].argmax())], end) if starts else whole
        found.append(ScoredSpan(tagged.label, whole, score))
    if paired_marks:
        for i, each in enumerate(found):
            since = found[i - 1].span.end if i else 0
            until = found[i + 1].span.start if i + 1 < len(found) else len(text)
            within = Span(min(since, each.span.start), max(until, each.span.end))
            found[i] = ScoredSpan(each.label, pair_up(each.span, text, within), each.score)
    return found


def grow(end, text):
    while end < len(text) and is_mark(text[end]):
        end += 1
    return end


def decode_event_types(probabilities, types, rules):
    return {
        name: float(probability)
        for name, probability in zip(types, probabilities, strict=True)
        if probability >= rules.thresholds.get(name, 0.5)
    }


def decode_events(
    types: Mapping[str, float],
    entities: Sequence[ScoredSpan],
    scores: SentenceScores,
    text: str,
    schema: LabelSchema,
    rules: DecodingRules,
) -> list[ScoredEvent]:
    nobody = dict.fromkeys(schema.role_names, ())
    if scores.triggers is None:
        return [ScoredEvent(name, score, None, nobody) for name, score in types.items()]
    probabilities = sigmoid(scores.triggers / rules.trigger_temperature)
    events = []
    for name, score in types.items():
        runs = trigger_runs(probabilities[:, schema.event_types.index(name)], scores.offsets, text, rules.trigger_threshold)
        highest = max((run.score for run in runs), default=0.0)
        for run in runs:
            span = Span(scores.offsets[run.first][0], grow(scores.offsets[run.last][1], text))
            roles = fill_roles(run, text, entities, scores, schema, rules)
            events.append(ScoredEvent(name, score * (run.score / highest) if highest else score, span, roles))
        if not runs:
            events.append(ScoredEvent(name, score, None, nobody))
    return events


def trigger_runs(probabilities, offsets, text, threshold):
    lettered = [i for i, (start, end) in enumerate(offsets) if any(map(str.isalnum, text[start:end]))]
    if not lettered:
        return []
    values = probabilities[lettered]
    hot = list(values >= threshold)
    if not any(hot):
        best = int(values.argmax())
        high = list(values >= values[best] / 2)
        hot = [all(high[min(i, best) : max(i, best) + 1]) for i in range(len(high))]
    words = [0]  # the number of each piece's word
    for i in range(1, len(lettered)):
        words.append(words[-1] + (bond(offsets[lettered[i - 1]], offsets[lettered[i]], text) is not Bond.WORD))
    hot_words = {word for word, is_hot in zip(words, hot, strict=True) if is_hot}
    runs = []
    for i, word in enumerate(words):
        if word in hot_words:
            if i and words[i - 1] in hot_words:
                runs[-1].append(i)
            else:
                runs.append([i])
    return [TriggerRun(lettered[run[0]], lettered[run[-1]], float(values[run].mean())) for run in runs]


def fill_roles(run, text, entities, scores, schema, rules):
    filled = {name: {} for name in schema.role_names}
    for i, entity in enumerate(entities):
        touched = [
            j for j, (start, end) in enumerate(scores.offsets) if max(start, entity.span.start) < min(end, entity.span.end)
        ]
        if not touched or scores.queries is None or scores.keys is None:
            continue
        query = scores.queries[run.first : run.last + 1].mean(axis=0).reshape(len(schema.roles), -1)
        key = scores.keys[touched[0] : touched[-1] + 1].mean(axis=0).reshape(len(schema.roles), -1)
        likely = sigmoid((query * key).sum(axis=1) / rules.role_temperature)
        for role, probability in zip(schema.roles, likely, strict=True):
            if entity.label in role.labels and probability >= rules.role_thresholds.get(role.name, 0.5):
                name, rival = (entity.label, entity.span.of(text)), filled[role.name]
                rival[name] = max(rival.get(name, (0.0, i)), (float(probability), i))
    return {role: tuple(sorted(i for _, i in found.values())) for role, found in filled.items()}


def sigmoid(logits):
    return 0.5 * (1.0 + np.tanh(0.5 * logits))

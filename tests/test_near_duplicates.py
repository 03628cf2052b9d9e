import hashlib
import json
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.spelling import normalised_words
from serving.batch.near_duplicates import FEWEST_SHINGLES, LOWEST, Mark, NearDuplicates, shingles
from serving.errors import SettingsError

REPORT = (
    "عدن (وكالة الساحل): قالت مصادر محلية إن قوات الحكومة صدت فجر اليوم هجوما شنه مسلحون على نقطة تفتيش عند المدخل "
    "الشرقي للمدينة، وإن ثلاثة من المهاجمين قتلوا في تبادل لإطلاق النار دام نحو ساعتين. وأضافت المصادر أن تعزيزات وصلت إلى "
    "المكان بعد انتهاء الاشتباك، وأن الطريق الساحلي أغلق أمام السيارات حتى الظهر، ثم فتح من جديد بعد أن أزال "
    "خبراء الألغام عبوتين لم تنفجرا."
)
OTHER = (
    "افتتح وزير الزراعة أمس معرض التمور السنوي في حضور مئات المزارعين والتجار من سبع محافظات. وقال الوزير في كلمته إن إنتاج "
    "هذا الموسم زاد على إنتاج الموسم الماضي بنحو العشر، وإن الوزارة تدرس دعم مصانع التعبئة الصغيرة بقروض ميسرة تسدد "
    "في خمس سنوات."
)
VOCABULARY = [f"كلمة{number}" for number in range(400)]


def jaccard(one: str, two: str) -> float:
    first, second = set(shingles(normalised_words(one))), set(shingles(normalised_words(two)))
    return len(first & second) / len(first | second)


def article(seed: int, words: int = 120) -> list[str]:
    return random.Random(seed).choices(VOCABULARY, k=words)


def test_an_equal_text_is_marked_with_the_first():
    seen = NearDuplicates()
    assert seen.look("1", REPORT) is None
    assert seen.look("2", REPORT) == Mark("1", 1.0)
    assert seen.look("3", REPORT) == Mark("1", 1.0)


@pytest.mark.parametrize(
    "text",
    [
        REPORT.replace("عدن (وكالة الساحل)", "المكلا - مراسلنا"),
        REPORT.replace("ساعتين", "ثلاث ساعات"),
        "هجوم على نقطة تفتيش\n\n" + REPORT,
        REPORT.rpartition("،")[0],
    ],
    ids=["dateline", "a word", "headline", "end"],
)
def test_a_text_that_differs_a_little_is_marked(text):
    seen = NearDuplicates()
    seen.look("1", REPORT)
    mark = seen.look("2", text)
    assert mark is not None
    assert mark.of == "1"
    assert abs(mark.similarity - jaccard(REPORT, text)) < 0.1
    assert mark.similarity < 1


def test_other_news_are_not_marked():
    seen = NearDuplicates()
    half = REPORT.partition(". ")[0]
    assert [seen.look(str(i), text) for i, text in enumerate([REPORT, OTHER, half, f"{half}. {OTHER}"])] == [None] * 4


@pytest.mark.parametrize(
    "text",
    [
        "".join(letter + "\u064e" if "\u0621" <= letter <= "\u064a" else letter for letter in REPORT),
        "".join(letter + "\u0640" if letter in "سشصقف" else letter for letter in REPORT),
        "\u200f" + REPORT.replace(" ", "\u200b \u202b"),
        REPORT.replace("أ", "ا").replace("إ", "ا").replace("آ", "ا"),
        REPORT.replace("ة", "ه").replace("ى", "ي").replace("ي", "\u06cc"),
        REPORT.replace("لا", "\ufefb"),
        REPORT.replace("،", " ").replace(".", "!").replace(" ", "\n"),
    ],
    ids=["diacritics", "tatweel", "zero-width", "alef", "endings", "ligatures", "punctuation"],
)
def test_spelling_does_not_matter(text):
    assert text != REPORT
    seen = NearDuplicates(1.0)
    seen.look("1", REPORT)
    assert seen.look("2", text) == Mark("1", 1.0)


def test_words_are_letters_and_digits():
    assert normalised_words("قُتِـــل ٣ و۴ في «آزال»، U.S. \ud800 _😀") == ["قتل", "3", "و4", "في", "ازال", "u", "s"]


def test_short_texts_are_marked_only_if_equal():
    seen = NearDuplicates()
    headline = "مقتل خمسة جنود في هجوم على حاجز قرب مدينة مأرب"
    assert len(shingles(normalised_words(headline))) < FEWEST_SHINGLES
    assert seen.look("1", headline) is None
    assert seen.look("2", headline.replace("مأرب", "تعز")) is None
    assert seen.look("3", "مقتل خَمسة جنود في هجوم على حاجز قرب مدينة مارب...") == Mark("1", 1.0)
    assert seen.look("4", "نعم") is None
    assert seen.look("5", "نعم!") == Mark("4", 1.0)
    # One phrase over and over is few shingles, however long.
    assert seen.look("6", "عاجل جدا " * 500) is None
    assert seen.look("7", "عاجل جدا " * 501) is None
    assert seen.look("8", "عاجل جدا " * 500) == Mark("6", 1.0)


@pytest.mark.parametrize("text", ["", " \n", "\u200f\u0640", "... 😀 !", "\ud800"])
def test_a_text_without_words_is_like_no_other(text):
    seen = NearDuplicates()
    assert seen.look("1", text) is None
    assert seen.look("2", text) is None


def test_ids_may_repeat():
    seen = NearDuplicates()
    for text in (REPORT, "نعم"):
        assert seen.look("same", text) is None
        assert seen.look("same", text) == Mark("same", 1.0)


def test_a_mark_names_an_original_never_a_copy():
    """Each version differs from the one before by a word, so that a chain of copies leads far away."""
    seen = NearDuplicates()
    words = article(1)
    marks = {}
    for version in range(60):
        words[2 * version] = f"تغيير{version}"
        marks[str(version)] = seen.look(str(version), " ".join(words))
    originals = {identity for identity, mark in marks.items() if mark is None}
    assert 2 <= len(originals) < 30
    assert {mark.of for mark in marks.values() if mark} <= originals


def test_of_several_the_most_similar_is_named_and_of_equals_the_first():
    seen = NearDuplicates(0.9)
    words = article(2, 200)
    far, near = list(words), list(words)
    far[10] = far[40] = far[70] = far[100] = far[130] = "بعيد"
    near[190] = "قريب"
    assert jaccard(" ".join(far), " ".join(near)) < 0.9 < jaccard(" ".join(near), " ".join(words))
    assert [seen.look(name, " ".join(text)) for name, text in (("far", far), ("near", near))] == [None, None]
    mark = seen.look("third", " ".join(words))
    assert mark is not None
    assert mark.of == "near"


def test_of_equally_similar_ones_the_first_is_named():
    """A text made of two others is a little more like one of them, whichever came first, or just as like both."""
    named = set()
    for seed in range(100):
        one, two = (" ".join(article(seed + shift, 60)) for shift in (0, 1000))
        names = []
        for pair in ((one, two), (two, one)):
            seen = NearDuplicates(LOWEST)
            assert [seen.look("1", pair[0]), seen.look("2", pair[1])] == [None, None]
            mark = seen.look("3", f"{one} {two}")
            assert mark is not None
            names.append(mark.of)
        named.add(tuple(names))
    assert named == {("1", "2"), ("2", "1"), ("1", "1")}


_PROGRAM = """
import json, random, sys
from labels.spelling import normalised_words
from serving.batch.near_duplicates import NearDuplicates
seen = NearDuplicates(0.7)
draw = random.Random(7)
told = []
words = draw.choices([f"كلمة{n}" for n in range(500)], k=150)
for number in range(120):
    words[draw.randrange(150)] = f"جديد{number}"
    mark = seen.look(str(number), " ".join(words))
    told.append(mark and [mark.of, mark.similarity])
json.dump(told, sys.stdout)
"""


def run_program(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=os.environ | environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_processes_agree_whatever_their_hash_seed_and_kernel():
    told = run_program(PYTHONHASHSEED="1")
    assert told == run_program(PYTHONHASHSEED="2", RENSA_FORCE_KERNEL="scalar")
    marks = json.loads(told)
    assert None in marks[1:]
    assert sum(mark is not None for mark in marks) > 60


def test_signatures_are_those_of_the_pinned_version():
    """Another algorithm would mark otherwise, and a run begun with one version could not be resumed with the next."""
    import rensa

    sketch = rensa.RMinHash(120, 1)
    sketch.update(shingles(normalised_words(REPORT)))
    assert rensa.RMinHash.ALGORITHM_VERSION == 2
    digest = hashlib.sha256(json.dumps(sketch.digest()).encode()).hexdigest()
    assert digest[:16] == "7b6300ff26db4f30"


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(40, 400), st.floats(0, 0.08))
def test_the_estimate_is_close_to_the_exact_similarity(seed, count, share):
    draw = random.Random(seed)
    words = draw.choices(VOCABULARY, k=count)
    changed = [f"{word}ن" if draw.random() < share else word for word in words]
    one, two = " ".join(words), " ".join(changed)
    exact = jaccard(one, two)
    seen = NearDuplicates(LOWEST)
    seen.look("1", one)
    mark = seen.look("2", two)
    if mark is None:
        assert exact < LOWEST + 0.2
    else:
        assert abs(mark.similarity - exact) < 0.2  # more than five standard deviations of 120 places


def test_the_estimate_has_no_bias():
    errors = []
    for seed in range(300):
        words = article(seed, 150)
        changed = list(words)
        changed[20] = changed[60] = changed[100] = "تغير"
        seen = NearDuplicates(0.5)
        seen.look("1", " ".join(words))
        mark = seen.look("2", " ".join(changed))
        assert mark is not None
        errors.append(mark.similarity - jaccard(" ".join(words), " ".join(changed)))
    assert abs(sum(errors) / len(errors)) < 0.006
    assert sum(error**2 for error in errors) / len(errors) < 0.04**2


@given(st.lists(st.sampled_from([REPORT, OTHER, "نعم", "لا", "", REPORT + OTHER]), max_size=12))
def test_the_second_time_all_but_the_empty_are_marked(texts):
    seen = NearDuplicates()
    first: dict[str, str] = {}
    for number, text in enumerate(texts):
        mark = seen.look(str(number), text)
        if text and text in first:
            assert mark == Mark(first[text], 1.0)
        else:
            assert mark is None
            first[text] = str(number)


def test_a_similar_text_is_found_at_any_threshold():
    for threshold in (LOWEST, 0.5, 0.8, 0.9, 0.95):
        missed = 0
        for seed in range(40):
            words = article(seed, 120)
            seen = NearDuplicates(threshold)
            seen.look("1", " ".join(words))
            missed += seen.look("2", " ".join([*words, "خاتمة"])) is None  # similarity 118 / 119
        assert missed == 0


@pytest.mark.parametrize("threshold", [0.0, LOWEST - 0.01, 1.01, 80, float("nan")])
def test_a_threshold_out_of_range(threshold):
    with pytest.raises(SettingsError, match=r"near-duplicates: expected a similarity between 0\.3 and 1, found"):
        NearDuplicates(threshold)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(SettingsError, match=r"needs the package rensa: pip install 'marsad\[dedup\]'$"):
        NearDuplicates()

"""Sentences of Arabic news: where they end, where they do not, and that no character is lost."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.sentences import split_sentences


def split(text):
    return [span.of(text) for span in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("وصل الوفد. ثم غادر.", ["وصل الوفد.", "ثم غادر."]),
        ("هل وصل؟ نعم! وصل الآن", ["هل وصل؟", "نعم!", "وصل الآن"]),
        ("کراچی میں دھماکہ۔ پھر", ["کراچی میں دھماکہ۔", "پھر"]),
        ("حقا؟! نعم", ["حقا؟!", "نعم"]),
        ("قال: «انتهى الأمر.» ثم خرج.", ["قال: «انتهى الأمر.»", "ثم خرج."]),
        ('قال: "انتهى الأمر." ثم خرج.', ['قال: "انتهى الأمر."', "ثم خرج."]),
        ("(وصل الوفد.) ثم غادر", ["(وصل الوفد.)", "ثم غادر"]),
        ("قال ذلك . » ثم خرج", ["قال ذلك . »", "ثم خرج"]),
        ("قالت بي بي سي. وأضاف زيد. ثم صمت", ["قالت بي بي سي.", "وأضاف زيد.", "ثم صمت"]),
        ("قال: «لن نتراجع!» مضيفا", ["قال: «لن نتراجع!»", "مضيفا"]),
        ("هتفوا «ارحل!» وغادروا", ["هتفوا «ارحل!»", "وغادروا"]),
        ("«أين الحكومة؟» سؤال الناس", ["«أين الحكومة؟»", "سؤال الناس"]),
        ("نعم. «أين الحكومة؟» سؤال", ["نعم.", "«أين الحكومة؟»", "سؤال"]),
        ('قال أحدهم. "هذا" جديد', ["قال أحدهم.", '"هذا" جديد']),
        ("بدأ عام 2011. وانتهى", ["بدأ عام 2011.", "وانتهى"]),
        ("وُلد عام 1987م. ودرس هناك", ["وُلد عام 1987م.", "ودرس هناك"]),
        ("مساحتها 22 كم. وهي صغيرة", ["مساحتها 22 كم.", "وهي صغيرة"]),
        ("كتب إلى info@news.com. ثم نشر", ["كتب إلى info@news.com.", "ثم نشر"]),
        ("زار موقع www.un.org. ثم خرج", ["زار موقع www.un.org.", "ثم خرج"]),
        ("كان ذلك جيّداً. ثُمَّ عاد", ["كان ذلك جيّداً.", "ثُمَّ عاد"]),
        ("وصل\u200f.\u200f ثم غادر", ["وصل\u200f.", "ثم غادر"]),
        ("نعم. *** لا.", ["نعم.", "*** لا."]),
        ("He left. She stayed. e.g. here", ["He left.", "She stayed. e.g. here"]),
    ],
)
def test_a_sentence_ends_at_its_stop_and_the_marks_that_close(text, sentences):
    assert split(text) == sentences


@pytest.mark.parametrize(
    "text",
    [
        "بلغت النسبة 3.5 في المئة و٣.٥ و٣٫٥ من 1.000.000",
        "قال د. سالم إن م. علي وأ. هدى حضروا",
        "حضر الحفل ود. منى ود . سعاد",
        "نقلت (أ. ف. ب.) الخبر",
        "نقلت (أ.ف.ب) و(د.ب.أ) الخبر",
        "صندوق ص.ب 12 وص. ب. 13",
        "سنة 200 ق.م وسنة 30 ق. م. تقريبا",
        "قناة بي.بي.سي وإن.بي.سي ودبليو.إتش.أو",
        "ذكر موقع العربية.نت وموقع أمازون.كوم ذلك",
        "انظر www.un.org/ar أو http://x.org/?id=1&n=2 أو a.b@c.org للمزيد",
        "وصل U.S. Army وDr. Ali وJ. R. Smith معا",
        "صرخ «كفى!»، ثم خرج",
        "هل ينجح؟، سأل الجميع",
        "قال إنه (!) لا يعرف (؟) شيئا (...) البتة",
        "ثم ... سكت.. وقال… لا شيء",
        "1. المادة الأولى",
        " 12. المادة الأولى",
        "أ. الفقرة الأولى",
        "عن جون هـ. واطسون",
        "قسم أول؛ وقسم ثان: وثالث",
        "زار جورج دبليو. بوش بغداد ثم التقى ديفيد إتش. بترايوس وجون إف. كينيدي",
        "قالت هيئة بي. بي. سي. البريطانية وقوات الواي. بي. جي. ذلك",
        "سلم الجائزة لد. أحمد ورحب بد. محمد وبالد. علي",
        'رفع متظاهرون لافتات "أين الحكومة؟" في ساحة التحرير ببغداد.',
        "تظاهروا تحت شعار «ارحل!» في مدينة حلب",
        "نعم. ***",
        "...",
        ". قال",
    ],
)
def test_a_stop_within_a_sentence_does_not_end_it(text):
    assert split(text) == [text.strip()]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("على تلك الوجوه .وصلت البعثة", ["على تلك الوجوه .", "وصلت البعثة"]),
        ("سالم وغيرهم.وأشار إلى", ["سالم وغيرهم.", "وأشار إلى"]),
        ("سنة 2014.وقال", ["سنة 2014.", "وقال"]),
        ("(رويترز).وقال", ["(رويترز).", "وقال"]),
        ("رحب به.وأضاف", ["رحب به.", "وأضاف"]),
        ("شركة IBM.وقالت", ["شركة IBM.", "وقالت"]),
        ("ماذا؟وقال", ["ماذا؟", "وقال"]),
        ("د.سالم حضر", ["د.سالم حضر"]),
        ("المتهم سالم.ر اعترف", ["المتهم سالم.ر اعترف"]),
    ],
)
def test_a_stop_without_a_space_after_it(text, sentences):
    assert split(text) == sentences


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\u2029", "\v", "\f", "\n \n"])
def test_a_line_break_ends_a_sentence(end):
    assert split(f"عنوان بلا نقطة{end}• بند أول{end}- بند ثان") == ["عنوان بلا نقطة", "• بند أول", "- بند ثان"]


@pytest.mark.parametrize("text", ["", " \n\t", "\u200f\ufeff \u202b"])
def test_nothing_to_see_is_no_sentence(text):
    assert split(text) == []


def test_offsets_point_into_the_text_as_it_is():
    text = "\ufeff  قَصَفَ 😀.\r\n\tعـــاد\u200f. "
    spans = split_sentences(text)
    assert [(span.start, span.end) for span in spans] == [(3, 12), (15, 23)]
    assert [span.of(text) for span in spans] == ["قَصَفَ 😀.", "عـــاد\u200f."]


UNSEEN = re.compile("[\\s\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
soup = st.text(
    st.sampled_from("ادم وبسق12٣abZ.؟!…۔،:«»()\"'”“\n\r\u2028\t \u00a0\u200f\u200b\ufeffـ\u064b\u0651😀-•*@/"), max_size=80
)


@given(st.one_of(soup, st.text(max_size=60)))
@settings(deadline=None, max_examples=500)
def test_sentences_are_in_order_trimmed_and_cover_what_is_seen(text):
    spans = split_sentences(text)
    at = 0
    for span in spans:
        assert not UNSEEN.sub("", text[at : span.start])
        surface = span.of(text)
        assert not UNSEEN.match(surface[0])
        assert not UNSEEN.match(surface[-1])
        assert not re.search("[\n\r\u2028\u2029]", surface)
        at = span.end
    assert not UNSEEN.sub("", text[at:])


@given(soup)
@settings(deadline=None, max_examples=300)
def test_what_is_said_before_a_line_break_decides_nothing_after_it(text):
    both = split(f"{text}\n{text}")
    assert both == split(text) * 2


N = 200_000


@pytest.mark.parametrize(
    "text",
    [
        "." * N,
        '"' * N,
        "ا" * N,
        "a." * (N // 2),
        "كلمة." * (N // 5),
        ". " * (N // 2),
        "(" * (N // 2) + "1. a" + ". a" * (N // 6),
        "1" + " " * (N // 2) + "x. " * (N // 6),
        "كلمة." + "»" * N,
        "\u200f." * (N // 2),
        "كلمة. " + " " * N + ".",
        'ا."' * (N // 3),
        "ا" + "\u064b" * N + ". ب",
        "كلمة" + "\u200f" * N + ". ب",
        "د. " * (N // 3),
        "قال (" + "ب؟) " * (N // 4),
        "قل" + " " * N + "(" + "ب؟) " * (N // 4),
        "\n" * N,
    ],
    ids=lambda text: f"{text[:4]!r}",
)
def test_time_grows_with_the_length_alone(text):
    begun = time.process_time()
    split_sentences(text)
    assert time.process_time() - begun < 2  # a fifth of that on a quiet machine; quadratic would take minutes

"""What a word is, in every way that people write."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.language import word

KNOWN = word.Known(
    [
        "中国",
        "中国人",
        "人民",
        "我们",
        "t恤",
        "卡拉ok",
        "日本語",
        "です",
        "สวัสดี",
        "ประเทศ",
        "ไทย",
        "မြန်မာ",
        "english",
    ]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red fox, don't.", "a red fox don't"),
        ("readFile read_file x1 3.5", "readfile read_file x1 3 5"),  # an identifier is one word
        ("cafe\u0301 naïve", "cafe\u0301 naïve"),  # letters with their marks
        ("हिन्दी भाषा में", "हिन्दी भाषा में"),
        ("العَرَبِيَّة مهمة", "العَرَبِيَّة مهمة"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("צה״ל שלום", "צה״ל שלום"),
        ("한국어 문장입니다", "한국어 문장입니다"),
        ("❤️ 👩\u200d💻", ""),  # marks and joiners without a letter
    ],
)
def test_where_blanks_stand_between_words_a_run_of_letters_is_one(text, expected):
    assert word.words(text, KNOWN) == word.words(text) == expected.split()
    assert not word.unspaced(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我们是中国人民。", "我们 是 中国人 民"),  # the longest, from the left
        ("iPhone手机2023年", "iphone 手 机 2023 年"),
        ("穿T恤唱卡拉OK吧", "穿 t恤 唱 卡拉ok 吧"),
        ("卡拉OKAY", "卡 拉 okay"),  # no word ends within one of another script
        ("日本語のコーヒーです。", "日本語 の コーヒー です"),
        ("สวัสดีประเทศไทย", "สวัสดี ประเทศ ไทย"),
        ("မြန်မာ ၁၂", "မြန်မာ ၁၂"),
        ("a中'b b'中 <|endoftext|>中", "a 中 b b 中 中"),
        (
            "中\ufffd\ufffd国 \ufffd国",
            "中\ufffd\ufffd 国 \ufffd国",
        ),  # half a character belongs to what it touches
    ],
)
def test_what_is_written_without_blanks_is_divided_into_known_words(text, expected):
    assert word.words(text, KNOWN) == expected.split()


@pytest.mark.parametrize(("text", "expected"), [("中国人", "中 国 人"), ("ไทย", "ไ ท ย"), ("မြန်", "မြ န်")])
def test_without_known_words_a_character_is_one_with_its_marks(text, expected):
    assert word.words(text) == expected.split()


def test_a_run_that_is_not_divided_stays_whole():
    assert word.runs("我们是中国人, red fox") == ["我们是中国人", "red", "fox"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(
            (each, True)
            for each in (
                "fox",
                "don't",
                "readFile",
                "cafe\u0301",
                "हिन्दी",
                "中国",
                "コーヒー",
                "ไทย",
                "می\u200cخواهم",
            )
        ),
        *((each, False) for each in ("x1", "read_file", "", "'", "中\ufffd", "2023", "၁၂", "\u0301")),
    ],
)
def test_a_word_of_letters_has_letters_and_their_marks_only(name, expected):
    assert word.alphabetic(name) is expected


@given(st.text(alphabet="a'_1 中国人民カナไท\u0e31ี\ufffd。\u200d\u0301Z<|>", max_size=20))
@settings(max_examples=200, deadline=None)
def test_pieces_are_the_runs_without_a_letter_left_out(text):
    """Each piece lies in a run, in order; between them only apostrophes are lost."""
    found = list(word.find(text, KNOWN))
    assert all(one.end() <= other.start() for one, other in pairwise(found))
    assert all(match[0] for match in found)
    runs = "".join(word.runs(text))
    assert runs.replace("'", "") == "".join(match[0].lower() for match in found).replace("'", "")

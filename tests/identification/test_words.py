from by_hand import map_row
from conftest import rows
from given import Given
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.identification.words import STAGE, find_words
from pipeline.language import word


def words(tokens, *, before="", after="", start=0, mat=0):
    phrase = map_row(0, tokens=tokens, text_before=before, text_after=after, start=start)
    phrase["mat_index"] = mat
    return find_words(rows("maps", phrase)).to_pylist()


def test_words_have_their_tokens_blank_and_lower_case():
    found = words([" The", " green", "ish", " fox", "."], start=7, mat=9)
    assert [w["word"] for w in found] == ["the", "greenish", "fox"]
    assert [(w["first_token"], w["end_token"]) for w in found] == [(7, 8), (8, 10), (10, 11)]
    assert [w["blank"] for w in found] == [" ", " ", " "]
    assert [w["is_mat"] for w in found] == [False, True, False]
    assert [w["upto_mat"] for w in found] == [True, True, False]


def test_a_word_cut_by_the_edge_of_its_map_is_not_one():
    assert [w["text"] for w in words(["ish", " fox"], before=" green")] == ["fox"]
    assert [w["text"] for w in words([" red", " green"], after="ish")] == ["red"]
    assert [w["text"] for w in words([" red", " green"], before="\n", after=" leaf")] == [
        "red",
        "green",
    ]


def test_half_a_character_belongs_to_its_word():
    [found] = words([" caf", "\ufffd", "\ufffd"])
    assert (found["text"], found["replaceable"]) == ("caf\ufffd\ufffd", False)
    assert words([" caf"], after="\ufffd") == []


def test_a_word_cut_at_its_apostrophe_is_not_one():
    assert words([" don"], after="'t") == []


def test_a_marker_holds_no_words():
    assert [w["text"] for w in words(["<|endoftext|>", "The"])] == ["The"]


def test_only_letters_in_tokens_of_their_own_can_be_replaced():
    found = words([" utf", "8", ' "quoted', " don", "'t", " x_y", "\n", "plain"])
    assert {w["text"]: w["replaceable"] for w in found} == {
        "utf8": False,
        "quoted": False,  # shares its token with a quotation mark
        "don't": True,
        "x_y": False,
        "plain": True,
    }


def test_empty_tokens_do_no_harm():
    assert [w["text"] for w in words(["", " red", "", " fox", ""])] == ["red", "fox"]


def test_what_is_written_without_blanks_is_divided_by_the_vocabulary():
    phrase = map_row(0, tokens=["我们", "是", "中国", "人。", "红"], text_before="", text_after="色")
    phrase["mat_index"] = 2
    found = find_words(rows("maps", phrase), word.Known(["我们", "中国", "红色", "other"])).to_pylist()
    assert [
        (w["word"], w["first_token"], w["end_token"], w["replaceable"], w["is_mat"]) for w in found
    ] == [
        ("我们", 0, 1, True, False),
        ("是", 1, 2, True, False),
        ("中国", 2, 3, True, True),
        ("人", 3, 4, False, False),  # shares its token with a full stop; 红 goes on beyond the edge
    ]


def warned(*maps):
    given = rows(
        "maps", *(map_row(n, tokens=tokens, phrase="".join(tokens)) for n, tokens in enumerate(maps))
    )
    return STAGE.warn(find_words(given), Given({"maps": given}), None)


def test_maps_without_words_that_can_be_replaced_are_said_with_the_reason():
    bytes_of_it, digits, good = ["\ufffd"] * 4, ["x", "1"], [" red", " fox"]
    [said] = warned(bytes_of_it, bytes_of_it, good)
    assert said.startswith("2 of 3 MAPs hold no word that can be replaced, as 2 hold half characters")
    assert "take a MODEL whose tokenizer knows the script" in said
    [said] = warned(digits, digits, good)
    assert said.startswith("2 of 3 MAPs hold no word that can be replaced: letters only")
    assert warned(bytes_of_it, digits, good, good) == []


@given(st.lists(st.text(alphabet=" aé'_1.\n\ufffdZ", max_size=4), max_size=11), st.data())
@settings(max_examples=100, deadline=None)
def test_words_are_those_of_the_whole_text_that_lie_inside_the_map(tokens, data):
    start = data.draw(st.integers(0, len(tokens)))
    stop = data.draw(st.integers(start, len(tokens)))
    before, after = "".join(tokens[:start]), "".join(tokens[stop:])
    found = words(tokens[start:stop], before=before, after=after, start=start, mat=start)
    low, text = len(before), "".join(tokens)
    high = low + len("".join(tokens[start:stop]))
    inside = [m for m in word.find(text) if low <= m.start() and m.end() <= high]
    assert [w["text"] for w in found] == [m[0] for m in inside]
    for row in found:
        covered = "".join(tokens[row["first_token"] : row["end_token"]])
        assert row["text"] in covered
        if row["replaceable"]:
            assert covered == row["blank"] + row["text"]

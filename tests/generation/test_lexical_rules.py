import pytest

from pipeline.generation.lexical_rules import read
from pipeline.language.hypernyms import hypernyms


def rule_of(description):
    return read(description, hypernyms())


@pytest.mark.parametrize(
    ("description", "fitting", "other"),
    [
        ('the word "of"', ["a", " of", " it"], ["office", " off"]),
        ('the token ","', ["a", ","], ["a", "."]),
        ('the token "\\n"', ["a", "\n"], ["a\n", " "]),
        ('the token "s" in "sahara", "savannah"', [" s", "ahara"], [" a", "s "[1:]]),
        ('numbers: "1853", "1809" and 3 more', [" in", " 1", "999"], [" in", " x1"]),
        ('words that begin with "south": "south"', [" South", "ern"], [" north"]),
        ('words that end in "aceae": "rosaceae"', [" Faga", "ceae"], [" ace"]),
        ('words with "eak": "speak"', [" Beak", "ed"], [" eka"]),
        ('kinds of scientist: "physicist", "quark"', [" Chemist"], [" king"]),
        ('kinds of scientist: "physicist", "quark"', [" quark"], [" scientific"]),
        ('kinds of day of the week: "monday"', [" Friday"], [" week"]),
        ('kinds of nothing known: "a", "b"', [" b"], [" c"]),
        ('ways to consume: "eat"', [" drank"], [" slept"]),
        ('words for temperature: "hot"', [" chilly"], [" heavy"]),
        ('words like true or false: "true", "false"', [" false"], [" wrong"]),
        ('words like intelligent: "clever", "smart"', [" brainy"], [" stupid"]),
        ('words close to good or bad: "evil", "good"', [" bad"], [" tall"]),
        ('words that relate to kinds of European country: "french"', [" italian"], [" japanese"]),
        ('prepositions: "in", "on"', [" under"], [" he"]),
        ('words that negate: "not"', [" don’t"], [" do"]),
        ('forms of he: "he", "his"', [" himself"], [" she"]),
        ('number words: "two"', [" seven"], [" 7"]),
        ('"and", "or"', [" or"], [" for"]),
        ('"and", "or" and 7 more', [" or"], [" but"]),
        ('the word "old", beside "world"', [" old", " world"], [" old", " house"]),
        ('the word "old", beside "world", "man"', [" man", " is", " old"], [" old", " house"]),
        ('the word "kingdom", after "united"', [" united", " kingdom"], [" kingdom", " united"]),
        ('the word "end", after "the", before "of"', [" the", " end", " of"], [" an", " end", " of"]),
        ('after "united"', [" united", " states"], [" states", " united"]),
        ('before "of"', ["(", " of"], [" of", " it"]),
        ('beside "atomic", "number"', [" the", " number"], [" number"]),
        ('"a", "b" and 2 more, after "c", beside "d"', [" d", " c", " a"], [" c", " d", " a"]),
        ('the token "\\"", beside "a"', ['"', " a"], ['"', " b"]),
        ('the token ", beside"', [", beside "], ["beside"]),
    ],
)
def test_a_description_is_taken_literally(description, fitting, other):
    rule = rule_of(description)
    assert rule.fits(fitting)
    assert not rule.fits(other)


def test_where_tokens_are_marked_only_those_count():
    rule = rule_of('the word "southern"')
    tokens = [" the", " south", "ern", " sea"]
    assert rule.fits(tokens, [2])
    assert not rule.fits(tokens, [0, 3])


def test_a_word_is_not_beside_itself():
    assert not rule_of('the word "old", beside "old"').fits([" old", " man"])
    assert rule_of('the word "old", beside "old"').fits([" old", " old"])
    assert not rule_of('the token "ak", beside "shaking"').fits([" sh", "ak", "ing"])


def test_what_is_no_lexical_description_is_refused():
    with pytest.raises(ValueError, match="not a lexical description: 'names of trees'"):
        rule_of("names of trees")

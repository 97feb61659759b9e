"""An answer is read out of every form of the tables, alone and within others, and what is none stays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.generation import descriptions, forms, judgements, prompts

SAID = "colours of things"
JUDGED = [True, False, True, False, True]
LIST = "[1, 0, 1, 0, 1]"
CALL = dict(tokens=[["a"]] * 5)

TAGS = [
    (f"{first}{name}{last}", f"{first}/{name}{last}")
    for name in forms.REASONING
    for first, last in forms.BRACKETS
]
THOUGHTS = [*TAGS, *forms.REASONING_MARKS]
BOXES = [*((f"<{name}>", f"</{name}>") for name in forms.ANSWERS), *forms.ANSWER_MARKS]
LABELS = [f"{label.capitalize()}: " for label in forms.LABELS]
LABELS += [f"The {word} {label}: " for word in forms.BEFORE_LABELS[2:] for label in forms.LABELS[:2]]
LABELS += [
    "**Description:** ",
    "**Description**: ",
    "__Answer__: ",
    "*Answer:* ",
    "### Answer: ",
    "- **Answer:** ",
]
LABELS += ["### Description\n\n", "**Final Answer**\n", "Answer is: ", "description:\n", "Answer："]
PREFACES = [f"{start.capitalize()} what the neuron reacts to:\n\n" for start in forms.PREFACES]
PREFACES += [f"{start.capitalize()} the phrases the common thing is: " for start in forms.MAYBE_PREFACES]
PREFACES += [f"{word.capitalize()}! " for word in forms.GREETINGS]
PREFACES += ["Sure, here's my answer for windows [1] to [5]: ", "They look alike.\nWhat they share:\n"]
PREFACES += ["Here is my answer for windows [1] to [5]: "]
AFTERWORDS = [f"\n\n**{word.capitalize()}**: [1] looks odd." for word in forms.AFTERWORDS]


def forms_of(text):
    """The text in each form, with what the form is."""
    for first, last in THOUGHTS:
        yield f"{first}\nA list [1, 2] of nouns: or not?\n{last}\n\n{text}"
        yield f"{first}{last}{text}"
        yield f"They look alike, [0, 0, 0, 0, 0].\n{last}\n{text}"  # opened by the prompt
    for first, last in BOXES:
        yield f"{first}{text}{last}"
        yield f"I would say {first} {text} {last}"
    for before in (*LABELS, *PREFACES):
        yield before + text
    for after in AFTERWORDS:
        yield text + after
    for fence in forms.FENCES:
        yield f"{fence}\n{text}\n{fence}"
        yield f"Here it is:\n{fence}json\n{text}\n{fence}\nThat is all."
        yield f"{fence}text\n{text}"  # never closed
    for first, last in forms.QUOTES:
        yield f"{first}{text}{last}"
    yield f"<s>{text}</s>"
    yield f"{text}<|im_end|>"
    yield f"< Think >x</ think >{text}"
    yield f"<think>a<think>b</think>c</think>{text}"
    yield f"<think>a</think>b<think>c</think>{text}"
    yield f"<thinking>a</think>{text}"
    yield f"<|channel|>analysis<|message|>a<|end|><|channel|>final<|message|>{text}<|return|>"
    yield f"analysisWe look.assistantfinal{text}"


@pytest.mark.parametrize("text", list(forms_of(SAID)))
def test_a_description_is_read_out_of_every_form(text):
    assert descriptions.read({}, text) == dict(description=SAID, status="ok")


@pytest.mark.parametrize("text", list(forms_of(LIST)))
def test_judgements_are_read_out_of_every_form(text):
    assert judgements.read(CALL, text) == dict(answers=JUDGED)


@given(
    st.sampled_from(THOUGHTS),
    st.sampled_from(LABELS),
    st.sampled_from(forms.QUOTES[:3]),
    st.sampled_from(AFTERWORDS),
)
def test_a_description_is_read_out_of_several_forms_at_once(thought, label, quotes, after):
    text = f"{thought[0]}Label: [1]?{thought[1]}\n{label}{quotes[0]}{SAID}{quotes[1]}{after}"
    assert prompts.description(text) == SAID


@pytest.mark.parametrize(
    "text",
    [
        '{"description": "colours of things"}',
        '["colours of things"]',
        '```json\n{"answer": "colours of things"}\n```',
        '{"description": "colours of things", "sure": 0.9}',
        '{"description":\n"colours of things"}',
        '{\n  "description":\n\n    "colours of things"\n}\n',
        '```json\n{"description":\n"colours of things"}\n```',
        '<think>Hm:\n{</think>\n{"description":\n"colours of things"}',
        '[\n"colours of things"\n]',
        "- colours of things",
        "1. colours of things",
        "> colours of things",
        " colours\n of   things ",
        "**Description: colours of things**",
        "Reasoning: they are alike.\n\nAnswer: colours of things",
        "<reasoning>\nx</reasoning>\n\n<description>\ncolours of things\n</description>",
        "<think/>colours of things",
        "<thinking />\ncolours of things",
        "<thought_process>a</thought_process>\ncolours of things",
        "<internal_thought>a</internal_thought>colours of things",
        "colours of things</answer>",
        "<|im_start|>assistant\ncolours of things<|im_end|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\ncolours of things<|eot_id|>",
        "<start_of_turn>model\ncolours of things<end_of_turn>",
        "<bos>colours of things<eos>",
        "[/INST] colours of things",
        "Assistant: colours of things",
        "<b>Answer:</b> colours of things",
        "<b>Answer</b>: <i>colours of things</i>",
        "The final answer is colours of things",
        "$\\boxed{\\text{colours of things}}$",
        '"colours of things".',
        "```colours of things```",
        "````\ncolours of things\n````",
        "{'description': 'colours of things'}",
        '{"answer": {"description": "colours of things"}}',
        "colours of things\nExplanation: they are red.",
        "colours of things\n\n---\nReasoning: they are red.",
        "colours of things\n\nHope this helps!",
        "\ufeff\u200bcolours of things\u200b",
    ],
)
def test_a_description_is_read_as_a_line_of_words(text):
    assert prompts.description(text) == SAID


@pytest.mark.parametrize(
    "said",
    [
        "the tag <think>",
        "the tags <answer> and </answer> in HTML",
        "after a colon: names",
        "- as in a list",
        'the word "not"',
        "ends with </think>",
        "the fence ```",
    ],
)
def test_of_json_nothing_but_its_text_is_read(said):
    for text in (json.dumps({"description": said}), json.dumps({"description": said}, indent=1)):
        assert prompts.description(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "numbers: 12, 7",
        'the token "ak" in "shak"',
        "given names: John, Mary",
        'words after a colon: "a"',
        'the tokens "<think>" and "</think>"',
        "the tags `<think>` and ⟦</think>⟧",
        'after "united"',
        "in dates: numbers",
        "HTML tags: <div>, <answer>",
        "tags such as <output> and <div>",
        '"red" and "blue"',
        "**a** and **b**",
        "yes, no and other answers",
        'phrases such as "of course, sir"',
        'based on the token ":"',
        "names of a feature: nose",
        "nothing but nouns",
        "text between ``` and ```",
        "What questions: why, how",
        "the description of people",
        "[1] citations",
        'the phrase "in common" and its like',
        "Examples of fruit: apple, pear",
        "notes: music",
        "none of the above",
        "No longer and no more",
        "the __init__ of Python",
        "<b> and </b> in HTML",
        'the token "end".',
        "no longer a pattern of words",
        "they and their meaning in common law",
        "words that do not have a capital",
        "the answer to a question",
        "{braces} in code",
        "[brackets]",
        '["a", "b"] in code',
    ],
)
def test_words_of_a_description_that_look_like_a_form_stay(text):
    assert prompts.description(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "No common feature: the tokens vary widely.",
        "No common feature.",
        "no common features",
        "Nothing in common",
        "No common feature found among them",
        "There is no common feature.",
        "There is no clear common theme here",
        "no common feature, but many are nouns",
        "The tokens vary widely.\n\nNo common feature.",
        "None",
        "**Answer:** no common feature",
        "<think>a list?</think>\n**No common feature**",
        "They have nothing in common.",
        "I see no common feature.",
        '```\n"No common feature"\n```',
        "There's no common feature.",
        "These tokens have no common feature.",
        "The marked tokens do not share a common feature.",
        "The tokens and their phrases don't have anything in common.",
        "They don’t share any common theme",
        "I cannot find a common feature.",
        "There does not appear to be a common thread.",
        "No shared feature",
        "No commonality found.",
        "N/A",
        '{"description": null}',
    ],
)
def test_nothing_in_common_is_said_in_many_words(text):
    assert descriptions.read({}, text) == dict(description=None, status="no_feature")


@pytest.mark.parametrize(
    "text", ["<think>a, b", "<think></think>", '""', "```\n```", "[THINK] a\n[/THINK] ", "<|im_end|>"]
)
def test_an_answer_without_one_is_empty_and_keeps_what_came(text):
    assert descriptions.read({}, text) == dict(status="empty", reason=f"it said '{text}'")


@pytest.mark.parametrize(
    "text",
    [
        "[true, false, true, false, true]",
        "[True,False,True,False,True]",
        '["1", "0", "1", "0", "1"]',
        '["yes", "no", "yes", "no", "yes"]',
        "[1, 0, 1, 0, 1,]",
        "[\n 1,\n 0,\n 1,\n 0,\n 1,\n]",
        '{"answers": [1,0,1,0,1]}',
        r"\[1, 0, 1, 0, 1\]",
        "[**1**, 0, **1**, 0, 1]",
        f"{LIST} as I said: {LIST}",
        '{"judgements": ["TRUE","FALSE",1,0,true]}',
        "[1,1,1,1,1]? Let me see.\n\nAnswer: [1,0,1,0,1]",
        "<think>[0,0,0,0,0]</think>\n```json\n[true,false,1,0,1,]\n```",
    ],
)
def test_judgements_are_said_in_many_words(text):
    assert judgements.read(CALL, text) == dict(answers=JUDGED)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("[1,0,1] or [0,0,0]", 3),
        ("1, 0, 1", 3),
        ("[]", 3),
        ("[]", 0),
        ("[[1], [0], [1]]", 3),
        ("[1, , 0]", 2),
        ("[1, 0, 0.5]", 3),
        ("I cannot judge window [1].", 1),
        ("[maybe]", 1),
        ("<think>[1,0,1]", 3),
        ("[1,0,1,,]", 3),
        ("[,1,0]", 2),
        ("[1, 0]", 3),
        ("[1, 0, 1, 0]", 3),
        ("[1, 0, 2]", 3),
        ("[1, 0, null]", 3),
        ("[1 0 1]", 1),
    ],
)
def test_what_is_not_one_list_of_so_many_judgements_is_none_and_kept_as_it_came(text, count):
    found = judgements.read(dict(tokens=[["a"]] * count), text)
    assert found == dict(status="malformed", reason=f"it said '{text}'")


@pytest.mark.parametrize(
    "text",
    ["[0]", "Here is my answer for windows [1] to [1]: [0]", "the answer is [0].", "Answer: [false]"],
)
def test_the_number_of_a_window_is_no_judgement(text):
    assert prompts.judgements(text, 1) == [False]


@pytest.mark.parametrize(
    "unit",
    [
        "\n",
        " ",
        "\t\n",
        ":\n",
        ": ",
        "[1]",
        "[",
        "{",
        "<|a|>",
        "< ",
        "<think>",
        "</think>",
        "<answer>",
        "```\n",
        '"',
        "'\"",
        "**",
    ],
)
def test_much_of_anything_is_read_at_once(unit):
    """What takes squares of its length would take hours."""
    text = unit * (2**17 // len(unit))
    for each in (text, f"a{text}b", f"<think>{text}</think>[0]"):
        prompts.judgements(each, 1)
        prompts.description(each)
        prompts.description(each[:9_000])


PART = {"type": "text", "text": SAID}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (SAID, SAID),
        ([PART], SAID),
        ([SAID], SAID),
        (PART, SAID),
        ([{"type": "text", "text": "colours "}, {"type": "text", "text": "of things"}], SAID),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, PART], SAID),
        ([{"type": "reasoning", "text": "hm"}, PART], SAID),
        ([{"type": "redacted_thinking", "data": "x"}, PART], SAID),
        ([{"text": "hm", "thought": True}, {"text": SAID}], SAID),
        ([{"type": "output_text", "text": SAID, "annotations": []}], SAID),
        ([{"type": "text", "text": {"value": SAID, "annotations": []}}], SAID),
        ([{"type": "message", "content": [PART]}], SAID),
        ({"parts": [{"text": SAID}]}, SAID),
        ([None, 3, PART], SAID),
        ([{"type": "thinking", "thinking": "hm"}], ""),
        ([], None),
        ([3], None),
        (None, None),
        ({"type": "image"}, None),
    ],
)
def test_the_words_of_an_answer_are_its_parts_of_text(content, text):
    assert forms.words(content) == text


@given(st.text(), st.integers(1, 6))
def test_whatever_text_comes_is_read_or_kept_as_it_came(text, count):
    said = descriptions.read({}, text)
    assert said["status"] in ("ok", "no_feature") or text in said["reason"]
    judged = judgements.read(dict(tokens=[["a"]] * count), text)
    assert "answers" in judged or text in judged["reason"]


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_a_list_in_json_is_read_as_it_is(judged):
    assert prompts.judgements(json.dumps(judged), len(judged)) == judged

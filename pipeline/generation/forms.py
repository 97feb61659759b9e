"""The forms in which language models give an answer, and how the answer itself is read out of them.

Models reason before they answer, greet, label, explain, and put marks and fences around what they say. Each
form is a row of a table; descriptions and judgements are read by the same ones. What is in none of the
tables stays in the text.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Reasoning: names of tags, in any of the brackets, also as part of a longer name (thought_process), and
# marks of single families of models.
REASONING = (
    "think", "thinking", "thought", "thoughts", "reasoning", "reason", "reflection", "analysis",
    "scratchpad",
    "rationale", "antThinking", "seed:think", "cot", "inner_monologue", "monologue", "reflect", "internal",
    "deliberation",
)  # fmt: skip
BRACKETS = (("<", ">"), ("[", "]"), ("<|", "|>"), ("◁", "▷"), ("＜", "＞"), ("&lt;", "&gt;"))
REASONING_MARKS = (
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<|channel|>commentary<|message|>", "<|channel|>final<|message|>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
    ("assistantanalysis", "assistantfinal"),
)
# The answer: what stands between these is all that counts.
ANSWERS = ("answer", "final", "final_answer", "response", "output", "result", "description", "solution")
ANSWER_MARKS = (
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|START_TEXT|>", "<|END_TEXT|>"),
    ("<|begin_of_box|>", "<|end_of_box|>"),
    ("\\boxed{\\text{", "}}"),
    ("\\boxed{", "}"),
)
FENCES = ("```", "~~~")
QUOTES = (
    ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("„", "“"), ("`", "`"), ("**", "**"),
    ("__", "__"),
    ("*", "*"), ("_", "_"), ("$", "$"), ("\\text{", "}"), ("```", "```"),
    *((f"<{tag}>", f"</{tag}>") for tag in ("b", "strong", "i", "em", "p", "u", "code")),
)  # fmt: skip
# A label ends with one of these words, after any of those, and with a colon, or is a heading or bold line.
LABELS = (
    "answer", "description", "phrase", "feature", "commonality", "pattern", "theme", "thread", "trait",
    "concept",
    "response", "conclusion", "output", "result", "label", "solution", "in common", "judgement",
    "judgements",
    "judgment", "judgments", "assistant",
)  # fmt: skip
BEFORE_LABELS = (
    "the", "my", "your", "a", "final", "short", "brief", "concise", "common", "shared", "best", "main",
    "overall",
    "single", "one", "one-line", "possible", "proposed", "suggested", "neuron", "neuron's", "feature",
    "json",
)  # fmt: skip
# A sentence before the answer starts with one of these and ends with a colon; where it starts with one of
# the second it must also hold one of the third, for descriptions may start like that.
PREFACES = (
    "here is",
    "here's",
    "here’s",
    "here are",
    "based on",
    "looking at",
    "to summarize",
    "to summarise",
)
MAYBE_PREFACES = (
    "after", "given", "considering", "in", "overall", "so", "thus", "therefore", "my", "i", "what",
    "the", "all",
    "they", "these", "this", "it", "for", "as", "from", "this is",
)  # fmt: skip
OF_PREFACES = (
    "common", "share", "shares", "answer", "description", "summary", "short", "conclusion", "judgement",
    "judgements", "windows", "would say", "i see",
)  # fmt: skip
GREETINGS = (
    "sure thing", "sure", "certainly", "of course", "okay", "ok", "yes", "absolutely", "great", "alright",
    "all right", "understood", "got it", "happy to help", "no problem",
)  # fmt: skip
# A paragraph after the answer starts with one of these.
AFTERWORDS = (
    "explanation", "reasoning", "rationale", "justification", "note", "evidence", "examples", "because",
    "here's why", "here’s why", "here is why", "this is because", "why", "let me know", "i hope",
    "hope this", "is there anything", "feel free", "if you",
)  # fmt: skip
NOTHING = "no common feature"  # as a prompt asks for it
_WHO = (
    r"(?:they|(?:all |of ){0,2}(?:the|these|those) (?:\w+ )?(?:tokens|words|phrases|examples|samples|texts)"
    r"(?: and .{1,40})?)"
)
_WHAT = (
    r"(?:feature|theme|thread|pattern|trait|element|link|connection|meaning)s?"
    r"|(?:commonalit|similarit)(?:y|ies)"
)
_NOT = r"(?:can|could|do|does|did|is|are)(?:n['’]t| ?not)|can['’]t"
_COMMON = rf"(?:\b(?:common|shared)\b(?: (?:{_WHAT}))?|\bin common\b)"
NOTHINGS = (
    r"no common features?\b.*",
    rf"(?:there (?:is|are|(?:seem|appear)s? to be)|there['’]s|i (?:see|find|found)|{_WHO} (?:have|share)) "
    rf"no(?: \w+)?(?: common| shared)? (?:{_WHAT})\b.*",
    rf"(?:{_WHO} |there |i |it )?(?:{_NOT}) (?:\w+ ){{0,4}}(?:an?|any|one|anything|much)\b"
    rf".{{0,30}}{_COMMON}.*",
    r"no(?: clear| obvious| single| apparent| discernible)?(?: common| shared)? "
    rf"(?:{_WHAT})(?: (?:was |is )?(?:found|seen|identified))?",
    rf"(?:{_WHO} have |there is )?nothing in common",
    r"none|nothing|n/?a|null|nil",
)
JUDGEMENTS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
# Of an answer in parts: the keys that hold text, and the types of parts that are no answer.
TEXT_KEYS = ("text", "content", "value", "parts", "output_text")
NO_ANSWERS = ("think", "thought", "reason", "analysis", "tool", "function", "refusal")
# Why an answer ended, as servers say it, where not because it was whole.
ENDINGS = {
    "length": (
        "length", "max_tokens", "max_output_tokens", "max_completion_tokens", "max_length", "model_length",
        "token_limit", "model_context_window_exceeded", "context_length_exceeded", "truncated",
    ),
    "content_filter": (
        "content_filter", "content_filtered", "safety", "blocked", "blocklist", "prohibited_content",
        "recitation", "spii", "guardrail_intervened", "sensitive",
    ),
    "refused": ("refusal", "refused"),
}  # fmt: skip


_LONGEST = 10_000  # characters from which a text is no answer but for its reasoning
_BLANK = " \t\n\r\u200b\u2060\ufeff"  # also what has no width
_NEAR = 20  # characters before a list that say what it is


def _any(words: tuple[str, ...]) -> str:
    return "(?:" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + ")"


def _marks(names: tuple[str, ...], pairs: tuple[tuple[str, str], ...], *, close: bool) -> re.Pattern[str]:
    """A pattern of the tags of some names, and of other marks, where they open or close; not in quotes."""
    slash, more = (r"\s*/\s*", r"\s*") if close else (r"\s*", r"(?:\s[^<>\[\]]{0,80})?")
    longer = rf"(?:(?!end)\w{{1,20}}[_:-])?{_any(names)}(?:[_-]\w{{1,20}})?"
    tags = [re.escape(first) + slash + longer + more + re.escape(last) for first, last in BRACKETS]
    others = [re.escape(pair[close]) for pair in pairs]
    return re.compile("(?<![\"'`“‘«⟦])(?:" + "|".join([*tags, *others]) + ")", re.IGNORECASE)


_REASONS = _marks(REASONING, REASONING_MARKS, close=False)
_REASONED = _marks(REASONING, REASONING_MARKS, close=True)
_OPENS = _marks(ANSWERS, ANSWER_MARKS, close=False)
_CLOSES = _marks(ANSWERS, ANSWER_MARKS, close=True)
_EMPTY = re.compile(rf"(?<![\"'`“‘«⟦])<\s*{_any(REASONING)}\s*/\s*>", re.IGNORECASE)
_CLOSED_LAST = re.compile(rf"\s*<\s*/\s*{_any(ANSWERS)}\s*>\s*\Z", re.IGNORECASE)  # opened in the prompt
# tokens of a chat's template, which name who speaks
_SPECIAL = r"(?:<\|[^|<>\s]{1,40}\|>|</?s>|<[be]os>|<(?:start|end)_of_turn>|\[EOS\]|\[/INST\])"
_ENDS = re.compile(
    rf"\A(?:\s*{_SPECIAL}(?:(?:assistant|model|final)(?=\s*(?:\n|<)))?)+|(?:{_SPECIAL}\s*)+\Z"
)
_FENCE = re.compile(
    rf"^[ \t]*{_any(FENCES)}[`~]*[^\n`]*\n(.*?)(?:\n?[ \t]*{_any(FENCES)}[`~]*|\Z)",
    re.DOTALL | re.MULTILINE,
)
_NAME = rf"(?:{_any(BEFORE_LABELS)}[ \t]+){{0,4}}{_any(LABELS)}"
_MARK = r"(?:</\w{1,6}>|[*_]*)"
_LABEL = re.compile(
    rf"^[ \t>#*_•\-]*(?:<\w{{1,6}}>)?{_NAME}(?:[ \t]+(?:is|are|would be))?"
    rf"[ \t]*{_MARK}[ \t]*[:：]{_MARK}[ \t]*"
    rf"|\A(?:the|my) (?:final |short )?answer is[ \t]+"
    rf"|^[ \t]*(?:#+|\*\*|__)[ \t]*{_NAME}[ \t]*[*_]*[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_GREETING = re.compile(rf"\A[*_]*{_any(GREETINGS)}(?:[.!:;]+\s+|,\s+(?={_any(PREFACES)}\b))", re.IGNORECASE)
_PREFACE = re.compile(
    rf"\A[*_]*(?:{_any(PREFACES)}\b|{_any(MAYBE_PREFACES)}\b(?=[^\n:]*\b{_any(OF_PREFACES)}\b))"
    r"[^\n]*?:[*_]*(?:\s+|(?=\[|[\"“*_`]\w))",
    re.IGNORECASE,
)
_LAST_COLON = re.compile(r"\A.*[:：][ \t*_]*\n\s*(?=\S)", re.DOTALL)
_AFTERWORD = re.compile(
    rf"(?<=\S)\n(?:\n(?:[-*_]{{3,}}\n+)?[ >#*_(\-]*{_any(AFTERWORDS)}\b"
    rf"|[ >#*_(\-]*{_any(AFTERWORDS)}[ *_]*:|[-*_]{{3,}}\s*\Z).*",
    re.IGNORECASE | re.DOTALL,
)
_BULLET = re.compile(r"\A(?:[-•+>]|\*(?!\*)|1[.)])\s+(?=\S)")
_NOTHINGS = re.compile("|".join(NOTHINGS), re.IGNORECASE | re.DOTALL)


def words(content: Any) -> str | None:
    """The text of an answer's content, a string or parts, of which those with reasoning are left out; None
    where it is neither."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [words(part) for part in content]
        return "".join(text for text in texts if text) if any(text is not None for text in texts) else None
    if not isinstance(content, dict):
        return None
    kind = str(content.get("type", "")).lower()
    if any(name in kind for name in NO_ANSWERS) or content.get("thought") is True:
        return ""
    return next((words(content[name]) for name in TEXT_KEYS if content.get(name) is not None), None)


def refusal(content: Any) -> str | None:
    """What a part of an answer's content says where the model refuses; None where it does not."""
    parts = content if isinstance(content, list) else [content]
    said = [part.get("refusal") for part in parts if isinstance(part, dict)]
    return next((text for text in said if isinstance(text, str) and text), None)


def ending(reason: Any) -> str | None:
    """The status of an answer that a server ended for this reason; None where it says that it is whole."""
    name = str(reason).lower().rpartition(".")[2].replace("-", "_").replace(" ", "_")
    return next((status for status, names in ENDINGS.items() if name in names), None)


def said(text: str) -> str:
    """What an answer says after its reasoning, or else before it; empty where it is reasoning alone."""
    text = _EMPTY.sub("", text)
    pieces, at = [], 0
    while opened := _REASONS.search(text, at):
        pieces.append(text[at : opened.start()])
        closed = _REASONED.search(text, opened.end())
        at = closed.end() if closed else len(text)
    pieces.append(text[at:])
    last = next((piece for piece in reversed(pieces) if piece.strip()), "")
    last = _REASONED.split(last)[-1]  # of what was opened in the prompt, or twice
    return last.strip(_BLANK).strip()


def answer(text: str) -> str:
    """The answer itself, without reasoning, marks around it, greeting, label, preface and afterword. A text
    that is too long to be one stays as it is, but for the reasoning. Of JSON only its text is read."""
    if (inner := _of_json(text.strip(_BLANK))) is not None:
        return _unquoted(inner)
    text = said(text)
    if len(text) > _LONGEST:
        return text
    text = re.sub(r"\n\n+", "\n\n", "\n".join(" ".join(line.split()) for line in text.split("\n")))
    opens = [mark for mark in _OPENS.finditer(text) if text[mark.end() :].strip()]
    if opens and (opens[-1].start() == 0 or _CLOSES.search(text, opens[-1].end())):
        text = _CLOSES.split(text[opens[-1].end() :], maxsplit=1)[0]
    elif not opens:
        text = _CLOSED_LAST.sub("", text)
    text = _ENDS.sub("", text)
    if fences := _FENCE.findall(text):
        text = fences[-1]
    if (inner := _of_json(text.strip())) is not None:
        return _unquoted(inner)
    while (less := _GREETING.sub("", text.strip())) != text:
        text = less
    if labels := [label for label in _LABEL.finditer(text) if text[label.end() :].strip()]:
        text = text[labels[-1].end() :]
    text = _AFTERWORD.sub("", text)
    for before in (_LAST_COLON, _PREFACE):
        text = before.sub("", text.strip())
    text = text.strip()
    inner = _of_json(text)
    return _unquoted(_BULLET.sub("", text if inner is None else inner))


def _of_json(text: str) -> str | None:
    """The only text in an object or a list of JSON, or in an object of Python; None of any other text."""
    if of_python := re.fullmatch(r"\{\s*'\w+'\s*:\s*(['\"])(.*)\1\s*\}", text):
        return of_python[2]
    try:
        found = json.loads(text) if text.startswith(("{", "[")) else None
    except (ValueError, RecursionError):
        return None
    while isinstance(found, dict | list) and not isinstance(found, str):
        if isinstance(found, dict):
            named = [value for name, value in found.items() if name.lower() in LABELS]
            found = named if len(named) == 1 else [*found.values()]
        if len(found) != 1:
            return None
        found = NOTHING if found[0] is None else found[0]
    return found if isinstance(found, str) else None


def _unquoted(text: str) -> str:
    """A text without the quotes and marks that stand around all of it."""
    for first, last in QUOTES:
        whole = text.removesuffix(".") if text.endswith(last + ".") else text
        inner = whole[len(first) : len(whole) - len(last)]
        around = len(whole) > len(first + last) and whole.startswith(first) and whole.endswith(last)
        if text == first + last or (around and first not in inner and last not in inner):
            return _unquoted(inner.strip())
    for mark in ("**", "__"):  # of which one went with a label
        if text.count(mark) == 1:
            return text.removeprefix(mark).removesuffix(mark).strip()
    return text


def is_nothing(text: str) -> bool:
    """Whether an answer says that there is nothing in common, in its first or its last words."""
    lines = [line.strip(" \t\"'“”*_`.!()") for line in text.splitlines() if line.strip()]
    return bool(lines) and any(_NOTHINGS.fullmatch(each) for each in (" ".join(lines), lines[-1]))


def judgements(text: str, count: int) -> list[bool] | None:
    """The judgements of `count` windows in a text; None unless it holds a list of so many of the words of
    `JUDGEMENTS`, and no other such list."""
    found = []
    for each in re.finditer(r"\[[^\[\]]*\]", text):
        inner = each[0][1:-1].strip(" \n\t\\")
        items = [item.strip(" \n\t\"'`*\\").lower() for item in inner.removesuffix(",").split(",")]
        # a single number in brackets may be that of a window
        before = text[max(0, each.start() - _NEAR) : each.start()]
        alone = count > 1 or re.search(r"(?:^|[^\w\s]|\bis|\bare)\s*$", before)
        if alone and len(items) == count and set(items) <= JUDGEMENTS.keys():
            found.append([JUDGEMENTS[item] for item in items])
    return found[0] if found and all(each == found[0] for each in found) else None

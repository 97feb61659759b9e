"""What a server refuses is left out, renamed or said otherwise, in whatever words it refuses."""

import itertools
import json

import pytest
from servers.chat import body, completion, error

from pipeline.generation import prompts
from pipeline.generation.chat import Describer
from pipeline.generation.request import EFFORTS, FORMS, LIMITS, ROLES, Request

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
MESSAGES = [
    dict(role="system", content="Say what."),
    dict(role="user", content='{\n "phrases": ["a⟦ b⟧"]\n}'),
]
SCHEMA = prompts.judge("detection", "colours", ["a red hen", "it ran"]).schema
TURNS = prompts.judge("fuzzing", "colours", ["a⟦ red⟧ hen", "it⟦ ran⟧"]).messages
UNKNOWN = (  # a refusal of the parameter {0}
    (400, "Unrecognized request argument supplied: {0}"),
    (400, "Unsupported parameter: '{0}' is not supported with this model."),
    (400, "{0}: Extra inputs are not permitted"),
    (400, "Unknown name \"{0}\" at 'root': Cannot find field."),
    (400, "`{0}` ist kein bekannter Parameter"),
    (400, "property '{0}' is unsupported"),
    (500, "litellm.UnsupportedParamsError: does not support parameters: ['{0}']"),
    (422, [{"type": "extra_forbidden", "loc": ["body", "{0}"], "msg": "Extra inputs are not permitted"}]),
)
UNNAMED = (
    (400, "Extra inputs are not permitted"),
    (400, "Invalid request schema"),
    (400, "unknown field in body"),
    (422, "Unprocessable Entity"),
    (422, "Eingabe abgelehnt"),
    (422, ""),
    (400, ""),
    (400, "Bad Request"),
    (400, "invalid request"),
)


class Picky:
    """A server that answers a request if `wrong` finds nothing in it, else refuses with what it finds."""

    def __init__(self, server, wrong):
        self.server, self.wrong = server, wrong
        server.always = self

    def __call__(self, handler):
        found = self.wrong(self.server.asked[-1])
        (refusal(*found) if found else body(completion("good")))(handler)


def refusal(code, words):
    """An HTTP error with a message, or with a list of faults as FastAPI words them."""
    if isinstance(words, str):
        return error(code, words, {})
    return lambda handler: handler.give(code, json.dumps({"detail": words}).encode(), {})


def filled(words, name):
    return json.loads(json.dumps(words).replace("{0}", name))


def knows(asked, names):
    """The first parameter of a request that is none of these names; None where there is none."""
    return next((name for name in asked if name not in ("model", "messages", *names)), None)


@pytest.mark.parametrize("model", ["small", "gpt-4o", "openai/gpt-5", "o3-mini"])
@pytest.mark.parametrize(("code", "words"), UNKNOWN)
@pytest.mark.parametrize("limit", LIMITS[:3])
def test_a_parameter_that_is_refused_is_left_out_or_renamed(chat, model, code, words, limit):
    def wrong(asked):
        name = knows(asked, [limit])
        return name and (code, filled(words, name))

    Picky(chat, wrong)
    describer = Describer(model, wait_s=0.001)
    assert describer.ask(MESSAGES, 77).text == "good"
    last = chat.asked[-1]
    assert (last[limit], last.keys()) == (77, {"model", "messages", limit})
    n_asked = len(chat.asked)
    assert describer.ask(MESSAGES, 77).tries == 1  # what it learnt holds
    assert chat.asked[n_asked] == last


@pytest.mark.parametrize(("code", "words"), UNNAMED)
@pytest.mark.parametrize("kind", ["limit", "effort", "roles"])
def test_a_refusal_that_names_nothing_is_answered_by_other_forms(chat, code, words, kind):
    wrongs = {
        "limit": lambda asked: "max_completion_tokens" in asked,
        "effort": lambda asked: "reasoning_effort" in asked,
        "roles": lambda asked: asked["messages"][0]["role"] == "system",
    }
    Picky(chat, lambda asked: (code, words) if wrongs[kind](asked) else None)
    assert Describer("gpt-x", wait_s=0.001).ask(MESSAGES, 9).text == "good"


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (
            "'reasoning_effort' does not support 'none' with this model. Supported values are: {0}.",
            "'low', 'high'",
        ),
        ("Input should be {0}", "'minimal' or 'low'"),
        ("reasoning_effort must be one of {0}", '["medium", "high"]'),
        ("Invalid value for reasoning.effort: 'none'", None),
        ("effort 'none' is not available for this model", None),
        ("Thinking cannot be set to none", None),
        ("Unsupported value: none (reasoning effort)", None),
    ],
)
def test_the_least_effort_that_a_model_knows_is_asked_for(chat, words, known):
    efforts = [
        each
        for each in EFFORTS
        if each in (known or "low high").replace("'", " ").replace('"', " ").split()
    ]

    def wrong(asked):
        if asked.get("reasoning_effort") not in efforts:
            told = words.replace("none", asked["reasoning_effort"]).format(known)
            return 400, [dict(loc=["body", "reasoning_effort"], msg=told)]
        return None

    Picky(chat, wrong)
    assert Describer("gpt-x").ask(MESSAGES, 9).text == "good"
    assert chat.asked[-1]["reasoning_effort"] == efforts[0]


@pytest.mark.parametrize(
    "words",
    [
        "Only user and assistant roles are supported!",
        "System role not supported",
        "Developer instruction is not enabled for this model",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "This model has no system prompt",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ],
)
@pytest.mark.parametrize("code", [400, 422, 500])
@pytest.mark.parametrize("alternate", [False, True])
def test_without_a_role_of_the_system_the_user_says_all(chat, words, code, alternate):
    def wrong(asked):
        roles = [message["role"] for message in asked["messages"]]
        return (code, words) if "system" in roles or (alternate and len(roles) > 1) else None

    Picky(chat, wrong)
    assert Describer("small", wait_s=0.001).ask(MESSAGES, 9).text == "good"
    said = chat.asked[-1]["messages"]
    assert {message["role"] for message in said} == {"user"}
    assert "\n\n".join(message["content"] for message in said) == f"Say what.\n\n{MESSAGES[1]['content']}"
    assert len(said) == (1 if alternate else 2)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            400,
            "'response_format' of type 'json_schema' is not supported with this model.",
        ),
        (400, "Invalid schema for response_format 'answer': 'minItems' is not permitted."),
        (400, "'response_format.type' must be 'json_object' or 'text'"),
        (400, "This model does not support structured outputs"),
        (400, "Invalid schema: In context=('properties', 'description'), 'maxLength' is not permitted"),
        (500, "failed to parse grammar"),
        *((code, filled(words, "response_format")) for code, words in UNKNOWN),
        *UNNAMED,
    ],
)
@pytest.mark.parametrize("model", ["small", "gpt-x"])
def test_a_server_that_knows_no_schema_is_not_sent_one(chat, code, words, model):
    Picky(chat, lambda asked: (code, words) if "response_format" in asked else None)
    describer = Describer(model, wait_s=0.001)
    assert describer.ask(MESSAGES, 9, schema=SCHEMA).text == "good"
    assert "response_format" in chat.asked[0]
    assert describer.ask(MESSAGES, 9, schema=SCHEMA).tries == 1


def test_a_schema_is_sent_for_answers_in_json_only(chat):
    describer = Describer("small")
    describer.ask(MESSAGES, 9)
    describer.ask(MESSAGES, 9, schema=SCHEMA)
    first, second = chat.asked
    assert "response_format" not in first
    assert second["response_format"]["json_schema"]["schema"] == SCHEMA
    assert second["response_format"]["json_schema"]["strict"]


@pytest.mark.parametrize("alternate", [False, True])
def test_without_a_role_of_the_system_the_examples_stay(chat, alternate):
    def wrong(asked):
        roles = [message["role"] for message in asked["messages"]]
        twice = any(first == second for first, second in itertools.pairwise(roles))
        return (400, "System role not supported") if "system" in roles or (alternate and twice) else None

    Picky(chat, wrong)
    assert Describer("small", wait_s=0.001).ask(TURNS, 9).text == "good"
    said = chat.asked[-1]["messages"]
    instructions, *others = TURNS
    if alternate:
        first = f"{instructions['content']}\n\n{others[0]['content']}"
        assert said == [others[0] | dict(content=first), *others[1:]]
    else:
        assert said == [instructions | dict(role="user"), *others]


def test_a_server_that_refuses_several_things_one_by_one_is_answered(chat):
    def wrong(asked):
        name = knows(asked, ["max_tokens"])
        if name:
            return 400, f"Unrecognized request argument supplied: {name}"
        return (400, "System role not supported") if asked["messages"][0]["role"] == "system" else None

    Picky(chat, wrong)
    assert Describer("gpt-4o").ask(MESSAGES, 9).text == "good"


@pytest.mark.parametrize(
    "words", ["too long", "odd", "maximum context length is 5 tokens", "content policy"]
)
def test_a_refusal_of_what_is_asked_is_not_tried_in_other_forms(chat, words):
    chat.always = error(400, words)
    answer = Describer("gpt-x").ask(MESSAGES, 9)
    assert (answer.status, answer.reason, answer.tries) == ("bad_request", f"HTTP 400: {words}", 1)


def test_a_form_that_was_taken_stays_whatever_is_refused_later(chat):
    describer = Describer("small", wait_s=0.001)
    assert describer.ask(MESSAGES, 9).status == "ok"
    first = chat.asked[-1]
    chat.always = error(400, "max_tokens: invalid")
    assert describer.ask(MESSAGES, 9).status == "bad_request"
    chat.always = error(422, "")
    assert describer.ask(MESSAGES, 9).tries == 1
    chat.always = None
    assert describer.ask(MESSAGES, 9).status == "ok"
    assert chat.asked[-1] == first


def test_a_limit_of_tokens_is_always_sent(chat):
    Picky(chat, lambda asked: (400, f"unknown parameter {knows(asked, [])}"))
    answer = Describer("small", wait_s=0.001).ask(MESSAGES, 9)
    assert answer.status == "bad_request"
    assert all(any(name in asked for name in LIMITS) for asked in chat.asked)


def test_no_form_comes_twice():
    request, seen = Request.of("gpt-x"), []
    while request:
        assert request not in seen
        seen.append(request)
        refusal = "reasoning_effort, max_tokens, role, response_format"
        request = request.after(refusal, "", 400, taken=False, shaped=True)
    assert len(seen) <= len(EFFORTS) + len(LIMITS) + len(ROLES) + len(FORMS)

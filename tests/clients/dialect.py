"""What is said of a provider, for the files of `dialects`, and what several of them share."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

# What a name of a tool is made of, where the provider tells.
NAME = r"[a-zA-Z0-9_-]{1,64}"

# The numbers of calls, each used once in a run.
NUMBERS = itertools.count(1)


def opaque_id(body, name, position):
    return f"call_{next(NUMBERS):024x}"


def nine_characters(body, name, position):
    return f"{next(NUMBERS):09d}"


def openai_form(refusal):
    names = ("message", "type", "param", "code")
    return {"error": {name: getattr(refusal, name) for name in names}}


@dataclass(frozen=True)
class Dialect:
    """What one provider takes and how it answers."""

    # What stands before `/chat/completions`, after the prefix.
    base: str
    # Models that differ in what they take; the first one is the main one.
    models: tuple
    error: Callable
    rules: tuple
    # Where the reasoning stands: a field, "details" (OpenRouter), "parts" (Mistral) or nowhere.
    reasoning: str = "reasoning_content"
    # Models that show it in another field.
    reasoning_elsewhere: tuple = ()
    # Models that show no reasoning.
    silent_models: tuple = ()
    # Whether the arguments of a call come in pieces: always, never, or if `tool_stream` asks.
    calls: str = "pieces"
    call_id: Callable = opaque_id
    # The index of a streamed call: "counted", "zero" for all, or "absent".
    index: str = "counted"
    # Whether each message's first call carries a signature.
    signs: bool = False
    # Where the model wants its own reasoning back, as it was; "same" is where it stood.
    echo: str = ""
    # What `finish_reason` says of calls.
    finish: str = "tool_calls"
    # Usage of a stream: "asked" or "always" in a chunk of its own, "finish" in the chunk that
    # finishes, "x_groq" there in another place, "choice" inside the choice.
    usage: str = "asked"
    # A comment line that comes between the events.
    comment: str = ""
    # A chunk without choices that comes first.
    first_chunk: dict | None = None
    # Fields that stand in every chunk.
    extra: dict | None = None
    # Headers that may bring the key; none if no key is wanted.
    key_headers: tuple = ("authorization",)
    # How it is told to search the web by itself, as in `searches`: "plugin", "compound", "enable",
    # "options", "tool", "responses", "native", or not at all.
    search: str = ""
    unknown_path_status: int = 404
    responses: bool = False
    # Models that take tools only there.
    responses_only: tuple = ()
    # What stands before `/v1/messages`, and the rules there; None if the provider has no such place.
    native: str | None = None
    native_rules: tuple = ()
    # Requests of the suite that are refused there, and so through a proxy that passes them on.
    native_lacks: tuple = ()
    native_key_headers: tuple = ("authorization", "x-api-key")
    # Whether `count_tokens` is answered there.
    count_tokens: bool = False

    def reasoning_field(self, model):
        for start, name in self.reasoning_elsewhere:
            if model.startswith(start):
                return name
        return self.reasoning

    def refusals(self, body):
        for rule in self.rules:
            yield from rule(body)

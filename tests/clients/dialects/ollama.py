"""Ollama: <https://github.com/ollama/ollama/blob/main/openai/openai.go>."""

import native
from dialect import NUMBERS, Dialect, openai_form
from rules import (
    Refusal,
    arguments_are_objects,
    content_not_null,
    for_models,
    image_urls,
    one_of,
    part_types,
    text_content,
)


def ollama_form(refusal):
    return openai_form(Refusal(refusal.message))


def short_id(body, name, position):
    return f"call_{next(NUMBERS):08x}"


DIALECT = Dialect(
    base="/v1",
    models=("qwen3.5", "qwen3:8b", "llama3.2"),
    error=ollama_form,
    reasoning="reasoning",
    silent_models=("llama3.2",),
    calls="whole",
    call_id=short_id,
    index="zero",
    key_headers=(),
    native="",
    native_key_headers=(),
    native_rules=(native.base64_images,),
    native_lacks=("the URL of an image",),
    rules=(
        one_of(
            "reasoning_effort",
            ("none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max"),
            Refusal(
                'invalid reasoning value: "{value}" (must be "minimal", "low", "medium", "high", '
                '"xhigh", "ultra", "max", or "none")'
            ),
        ),
        for_models(
            ("llama3.2",),
            one_of(
                "reasoning_effort",
                ("none",),
                Refusal('"{model}" does not support thinking'),
            ),
        ),
        arguments_are_objects(Refusal("invalid tool call arguments")),
        content_not_null(Refusal("invalid message content type: <nil>")),
        part_types(
            Refusal("invalid message format"),
            user="text image_url input_audio",
            system="text image_url input_audio",
            tool="text image_url input_audio",
            assistant="text image_url input_audio",
        ),
        image_urls(
            r"data:(image/(jpeg|jpg|png|webp))?;base64,",
            Refusal(
                "image URLs are not currently supported, please use base64 encoded data instead"
            ),
        ),
        # An array loses the call that it answers.
        text_content(("tool",), Refusal("invalid message format")),
    ),
)

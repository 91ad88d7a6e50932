"""Cerebras: <https://inference-docs.cerebras.ai/resources/openai>."""

from dialect import Dialect, openai_form
from rules import (
    Refusal,
    at_most,
    for_models,
    has_keyword,
    known_fields,
    known_message_fields,
    nowhere,
    one_of,
    part_types,
    response_schema,
)


def cerebras_form(refusal):
    """Without `error` around it."""
    return openai_form(refusal)["error"]


# https://github.com/Cerebras/cerebras-cloud-sdk-python (types made of the specification)
CEREBRAS_FIELDS = """
    clear_thinking disable_reasoning frequency_penalty logit_bias logprobs max_completion_tokens
    max_tokens messages min_completion_tokens min_tokens model n parallel_tool_calls prediction
    presence_penalty prompt_cache_key reasoning_effort reasoning_format response_format seed
    service_tier stop stream stream_options temperature tool_choice tools top_logprobs top_p user
"""
WRONG_FORMAT = {"param": "validation_error", "code": "wrong_api_format"}

DIALECT = Dialect(
    base="/v1",
    models=("gpt-oss-120b", "zai-glm-4.7"),
    error=cerebras_form,
    reasoning="reasoning",
    usage="always",
    rules=(
        # https://github.com/huggingface/huggingface.js/pull/2268
        known_fields(
            CEREBRAS_FIELDS, Refusal("{name}: property '{name}' is unsupported", **WRONG_FORMAT)
        ),
        # https://github.com/Alishahryar1/free-claude-code/issues/1136
        known_message_fields(
            Refusal(
                "messages.{index}.{role}.{name}: property 'messages.{index}.{role}.{name}' is "
                "unsupported",
                **WRONG_FORMAT,
            ),
            assistant="reasoning",
            tool="name",
        ),
        nowhere(
            "cache_control",
            Refusal("messages: property '{name}' is unsupported", **WRONG_FORMAT),
        ),
        for_models(
            ("gpt-oss",),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high"),
                Refusal(
                    "reasoning_effort: Input should be 'low', 'medium' or 'high'",
                    **WRONG_FORMAT,
                ),
            ),
        ),
        at_most("stop", 4, Refusal("stop: at most {count} items", **WRONG_FORMAT)),
        # https://github.com/musistudio/claude-code-router/issues/708
        response_schema(
            has_keyword("minItems maxItems"),
            Refusal("Unsupported JSON schema fields: {{'{what}'}}", "response_format"),
        ),
        part_types(
            Refusal("messages.{index}.{role}.content: unsupported part '{kind}'", **WRONG_FORMAT),
            user="text image_url image",
            system="text image_url image",
        ),
    ),
)

"""Xiaomi MiMo: <https://platform.xiaomimimo.com/static/docs/api/chat/openai-api.md>."""

from dialect import Dialect, openai_form
from rules import Refusal, reasoning_beside_calls, unknown_fields, while_thinking, within

DIALECT = Dialect(
    base="/v1",
    models=("mimo-v2.5-pro", "mimo-v2-flash"),
    error=openai_form,
    key_headers=("authorization", "api-key"),
    native="/anthropic",
    native_key_headers=("authorization", "api-key", "x-api-key"),
    echo="reasoning_content",
    rules=(
        while_thinking(
            reasoning_beside_calls(
                "reasoning_content",
                Refusal("reasoning_content is missing in the assistant message at {index}"),
            )
        ),
        unknown_fields("enable_thinking chat_template_kwargs", Refusal("Param Incorrect: {name}")),
        within("max_tokens", 1, 131_072, Refusal("Param Incorrect: max_tokens")),
        within("temperature", 0, 1.5, Refusal("Param Incorrect: temperature")),
    ),
)

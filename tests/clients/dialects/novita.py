"""Novita AI: <https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion>."""

from dialect import NAME, Dialect
from rules import Refusal, at_most, for_models, one_of, tool_names, unknown_fields, within


def novita_form(refusal):
    return {"code": 400, "reason": "INVALID_REQUEST_BODY", "message": refusal.message, "metadata": {}}


DIALECT = Dialect(
    base="/openai/v1",
    models=("zai-org/glm-5.3", "deepseek/deepseek-v3.1"),
    error=novita_form,
    native="/anthropic",
    echo="reasoning_content",
    rules=(
        for_models(
            ("zai-org/glm-5.3",),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high", "max"),
                Refusal("invalid reasoning_effort: {value}"),
            ),
            unknown_fields("enable_thinking", Refusal("{name} is not supported by this model")),
            within("max_tokens", 1, 131_072, Refusal("max_tokens must be in [{low}, {high}]")),
        ),
        at_most("stop", 4, Refusal("stop: at most {count}")),
        tool_names(NAME, Refusal("invalid function name {name}")),
    ),
)

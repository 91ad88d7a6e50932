"""The OpenAI-compatible endpoint of Amazon Bedrock:
<https://docs.aws.amazon.com/bedrock/latest/userguide/bedrock-mantle.html>.
"""

from dialect import NAME, Dialect, openai_form
from rules import Refusal, at_most, for_models, one_of, tool_names, unknown_fields, within

DIALECT = Dialect(
    base="/v1",
    models=("zai.glm-5", "openai.gpt-oss-120b"),
    error=openai_form,
    reasoning="reasoning",
    native="/anthropic",
    echo="same",
    rules=(
        for_models(
            ("openai.gpt-oss",),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high"),
                Refusal("reasoning_effort: Input should be {values}"),
            ),
        ),
        for_models(
            ("zai.",),
            within("max_tokens", 1, 128_000, Refusal("max_tokens must be at most {high}")),
        ),
        unknown_fields("enable_thinking thinking top_k", Refusal("unknown field {name}")),
        at_most("stop", 4, Refusal("stop: at most {count}")),
        tool_names(NAME, Refusal("tools: invalid name {name}")),
    ),
)

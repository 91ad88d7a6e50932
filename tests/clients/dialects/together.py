"""Together AI: <https://docs.together.ai/docs/inference/chat/reasoning>."""

from dialect import Dialect, openai_form
from rules import Refusal, tool_choices, within

DIALECT = Dialect(
    base="/v1",
    models=("zai-org/GLM-5.3", "zai-org/GLM-5.2", "openai/gpt-oss-120b"),
    error=openai_form,
    reasoning_elsewhere=(("openai/gpt-oss", "reasoning"),),
    usage="always",
    echo="same",
    rules=(
        within(
            "temperature",
            0,
            2,
            Refusal("temperature must be between {low} and {high}", "{name}"),
        ),
        tool_choices(
            ("none", "auto", "required"),
            True,
            Refusal("Invalid tool_choice: {choice}", "tool_choice"),
        ),
    ),
)

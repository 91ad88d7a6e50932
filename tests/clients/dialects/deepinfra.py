"""DeepInfra: <https://docs.deepinfra.com/chat/reasoning>."""

from dialect import NAME, Dialect
from rules import Refusal, at_most, one_of, tool_names, unknown_fields, within


def deepinfra_form(refusal):
    return {"detail": {"error": refusal.message}}


DIALECT = Dialect(
    base="/v1/openai",
    models=("zai-org/GLM-5.2", "openai/gpt-oss-120b"),
    error=deepinfra_form,
    native="/anthropic",
    echo="reasoning_content",
    rules=(
        one_of(
            "reasoning_effort",
            ("none", "low", "medium", "high", "xhigh"),
            Refusal("reasoning_effort: Input should be {values}"),
        ),
        unknown_fields("enable_thinking thinking", Refusal("unknown field {name}")),
        within("max_tokens", 1, 1_000_000, Refusal("max_tokens")),
        at_most("stop", 16, Refusal("stop: at most {count}")),
        tool_names(NAME, Refusal("function name")),
    ),
)

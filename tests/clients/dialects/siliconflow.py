"""SiliconFlow: <https://docs.siliconflow.com/en/api-reference/chat-completions/chat-completions>."""

from dialect import NAME, Dialect
from rules import Refusal, at_most, for_models, one_of, text_content, tool_names, unknown_fields


def siliconflow_form(refusal):
    return {"code": 20015, "message": f"The parameter is invalid. {refusal.message}", "data": None}


DIALECT = Dialect(
    base="/v1",
    models=("zai-org/GLM-5.3", "Qwen/Qwen3-32B"),
    error=siliconflow_form,
    native="",
    echo="reasoning_content",
    rules=(
        for_models(
            ("zai-org/GLM-5.3",),
            one_of("reasoning_effort", ("high", "max"), Refusal("reasoning_effort: {value}")),
            # "only for the schema's enumerated models"
            unknown_fields("enable_thinking", Refusal("Value error, current model does not support {name}.")),
        ),
        for_models(("Qwen/",), unknown_fields("reasoning_effort", Refusal("{name}"))),
        at_most("stop", 4, Refusal("stop: at most {count}")),
        at_most("tools", 128, Refusal("tools: at most {count}")),
        text_content(("user", "tool"), Refusal("The model is not a VLM, {index}")),
        tool_names(NAME, Refusal("function name")),
    ),
)

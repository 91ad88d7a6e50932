"""Z.ai: <https://docs.z.ai/guides/capabilities/thinking-mode>."""

from dialect import NAME, Dialect
from rules import (
    Refusal,
    at_most,
    needs_role,
    response_formats,
    tool_choices,
    tool_has,
    tool_names,
    unique_call_ids,
    within,
)


def zai_form(refusal):
    return {"error": {"code": refusal.code or "1210", "message": refusal.message}}


DIALECT = Dialect(
    base="/api/paas/v4",
    models=("glm-5.3", "glm-5.2", "glm-4.6v"),
    error=zai_form,
    calls="asked",
    usage="finish",
    native="/api/anthropic",
    echo="reasoning_content",
    search="tool",
    rules=(
        # https://github.com/vectorize-io/hindsight/issues/4246
        tool_choices(("auto",), False, Refusal("Tool choice must be auto")),
        # https://github.com/api-evangelist/zhipu-ai/blob/main/openapi/_original/zhipu-ai-openapi.json
        at_most("stop", 1, Refusal("Invalid API parameter, please check the documentation.")),
        at_most("tools", 128, Refusal("Invalid API parameter, please check the documentation.")),
        tool_has("description", Refusal("Invalid API parameter, please check the documentation.")),
        tool_names(NAME, Refusal("Invalid API parameter, please check the documentation.")),
        response_formats(
            ("text", "json_object"),
            Refusal("Invalid API parameter, please check the documentation."),
        ),
        within(
            "temperature",
            0,
            1,
            Refusal("Invalid API parameter, please check the documentation."),
        ),
        within(
            "max_tokens",
            1,
            131_072,
            Refusal("max_tokens: the range is [{low}, {high}]."),
        ),
        # https://github.com/anomalyco/opencode/issues/2557
        needs_role(
            "user",
            Refusal(
                "The messages parameter is illegal. Please check the documentation.",
                code="1214",
            ),
        ),
        # https://github.com/MetaGLM/zhipuai-sdk-python-v4/issues/14
        unique_call_ids(
            Refusal(
                "The messages parameter is illegal. Please check the documentation.",
                code="1214",
            )
        ),
    ),
)

"""Mistral: <https://github.com/mistralai/platform-docs-public/blob/main/public/openapi.yaml>."""

from dialect import Dialect, nine_characters
from rules import (
    Refusal,
    call_ids,
    calls_are_answered,
    for_models,
    known_fields,
    known_message_fields,
    last_role,
    never_after,
    no_empty_tools,
    one_of,
    tool_choices,
    within,
)


def mistral_form(refusal):
    body = {"object": "error", "message": refusal.message, "type": refusal.type, "param": None}
    if refusal.status == 422:
        loc = [int(part) if part.isdigit() else part for part in refusal.param.split(".")]
        detail = {"type": "extra_forbidden", "loc": ["body", *loc], "msg": refusal.message}
        body["message"] = {"detail": [detail]}
    return body | {"code": refusal.code}


# https://github.com/mistralai/platform-docs-public/blob/main/public/openapi.yaml
MISTRAL_FIELDS = """
    frequency_penalty guardrails max_tokens messages metadata model n parallel_tool_calls prediction
    presence_penalty prompt_cache_key prompt_mode random_seed reasoning_effort response_format
    safe_prompt stop stream temperature tool_choice tools top_p
"""
EXTRA = Refusal("Extra inputs are not permitted", "{name}", status=422)

DIALECT = Dialect(
    base="/v1",
    models=("mistral-medium-3-5", "mistral-small-latest", "mistral-large-latest"),
    error=mistral_form,
    reasoning="parts",
    silent_models=("mistral-large",),
    calls="whole",
    call_id=nine_characters,
    index="zero",
    usage="finish",
    rules=(
        # https://github.com/editor-code-assistant/eca/issues/231,
        # https://github.com/avante-corp/avante.nvim/issues/2347
        known_fields(MISTRAL_FIELDS, EXTRA),
        # https://github.com/charmbracelet/crush/issues/1590
        known_message_fields(
            Refusal("Extra inputs are not permitted", "messages.{index}.{role}.{name}", status=422),
            {
                "system": "role content",
                "user": "role content",
                "assistant": "role content tool_calls prefix",
                "tool": "role content tool_call_id name",
            },
        ),
        # https://github.com/partITech/php-mistral/issues/76
        no_empty_tools(Refusal("Extra inputs are not permitted", "tools", status=422)),
        # https://github.com/nearai/ironclaw/issues/1241
        call_ids(
            r"[a-zA-Z0-9]{9}",
            Refusal(
                "Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.",
                code="3280",
                type="invalid_function_call",
            ),
        ),
        # https://github.com/BerriAI/litellm/issues/17761
        never_after(
            "user",
            "tool",
            Refusal(
                "Unexpected role '{role}' after role '{before}'",
                code="3230",
                type="invalid_request_message_order",
            ),
        ),
        # https://github.com/charmbracelet/crush/issues/279
        calls_are_answered(
            Refusal(
                "Not the same number of function calls and responses",
                code="3230",
                type="invalid_request_message_order",
            ),
            Refusal(
                "Unexpected role 'tool' after role 'user'",
                code="3230",
                type="invalid_request_message_order",
            ),
        ),
        # https://github.com/QuantumNous/new-api/issues/2858
        last_role(
            ("user", "tool"),
            Refusal(
                "Expected last role User or Tool (or Assistant with prefix True) for serving but "
                "got {role}",
                code="3230",
                type="invalid_request_message_order",
            ),
        ),
        # https://github.com/architects-toolkit/SmartHopper/issues/647
        for_models(
            ("mistral-small", "mistral-medium"),
            one_of(
                "reasoning_effort",
                ("none", "high"),
                Refusal(
                    "reasoning_effort='{value}' is not supported for this model. Must be one of "
                    "(<ReasoningEffort.none: 'none'>, <ReasoningEffort.high: 'high'>)",
                    code="3051",
                    type="invalid_request_invalid_args",
                ),
            ),
        ),
        # https://github.com/openclaw/openclaw/pull/53006
        within(
            "max_tokens",
            0,
            262_143,
            Refusal("Input should be less than 262144", "max_tokens", status=422),
        ),
        tool_choices(
            ("none", "auto", "any", "required"),
            True,
            Refusal(
                "Input should be 'auto', 'none', 'any' or 'required'", "tool_choice", status=422
            ),
        ),
    ),
)

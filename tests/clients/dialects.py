"""How each provider speaks chat completions: one row each, what it takes, refuses and answers.

A request that the provider would refuse is refused, with its status, its form of an error and its
words; any other is answered as the script in the prompt says, in the provider's style. A row's rules
name where they were learned. Where nobody saw a refusal there is none; where only the limit is
documented, the words are plain.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass

import native
import responses
from rules import (
    MESSAGE_FIELDS,
    Refusal,
    arguments_are_objects,
    at_most,
    call_ids,
    calls_are_answered,
    content_not_null,
    content_present,
    exclusive,
    for_models,
    has_keyword,
    image_urls,
    known_fields,
    known_message_fields,
    known_tool_fields,
    last_role,
    named_tool_exists,
    needs_role,
    never_after,
    no_empty_tools,
    nowhere,
    one_of,
    only_with,
    part_types,
    reasoning_beside_calls,
    reasoning_details,
    response_formats,
    response_schema,
    system_first,
    text_content,
    texts_not_empty,
    thought_signatures,
    tool_choices,
    tool_has,
    tool_names,
    tool_schemas,
    tools_of,
    unique_call_ids,
    unknown_fields,
    while_thinking,
    within,
)

# --- Forms of an error ---------------------------------------------------------------------------


def openai_form(refusal):
    names = ("message", "type", "param", "code")
    return {"error": {name: getattr(refusal, name) for name in names}}


def sparse_form(refusal):
    """The same without what is null."""
    error = openai_form(refusal)["error"]
    return {"error": {name: value for name, value in error.items() if value is not None}}


def xai_form(refusal):
    return {"code": "Client specified an invalid argument", "error": refusal.message}


def openrouter_form(refusal):
    """What the provider behind it said, as a text inside."""
    raw = {"type": "error", "error": {"type": refusal.type, "message": refusal.message}}
    metadata = {"raw": json.dumps(raw), "provider_name": "Anthropic"}
    return {"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}}


def gemini_form(refusal):
    error = {"code": refusal.status, "message": refusal.message, "status": "INVALID_ARGUMENT"}
    return [{"error": error}]


def mistral_form(refusal):
    body = {"object": "error", "message": refusal.message, "type": refusal.type, "param": None}
    if refusal.status == 422:
        loc = [int(part) if part.isdigit() else part for part in refusal.param.split(".")]
        detail = {"type": "extra_forbidden", "loc": ["body", *loc], "msg": refusal.message}
        body["message"] = {"detail": [detail]}
    return body | {"code": refusal.code}


def ollama_form(refusal):
    return openai_form(Refusal(refusal.message))


def deepseek_form(refusal):
    return openai_form(Refusal(refusal.message, code="invalid_request_error"))


def cerebras_form(refusal):
    """Without `error` around it."""
    return openai_form(refusal)["error"]


def fireworks_form(refusal):
    error = {"object": "error", "type": "invalid_request_error", "message": refusal.message}
    return {"error": error}


def zai_form(refusal):
    return {"error": {"code": refusal.code or "1210", "message": refusal.message}}


def moonshot_form(refusal):
    return {"error": {"message": refusal.message, "type": "invalid_request_error"}}


def dashscope_form(refusal):
    code = "invalid_parameter_error"
    message = f"<400> InternalError.Algo.InvalidParameter: {refusal.message}"
    return openai_form(Refusal(message, code=code)) | {"id": "chatcmpl-1", "request_id": "1"}


def vllm_form(refusal):
    return openai_form(Refusal(refusal.message, refusal.param, 400, type="BadRequestError"))


def llamacpp_form(refusal):
    error = {"code": refusal.status, "message": refusal.message, "type": refusal.type}
    return {"error": error}


def lmstudio_form(refusal):
    return {"error": refusal.message}


# --- Ids of tool calls ---------------------------------------------------------------------------

_numbers = itertools.count(1)


def opaque_id(body, name, position):
    return f"call_{next(_numbers):024x}"


def short_id(body, name, position):
    return f"call_{next(_numbers):08x}"


def nine_characters(body, name, position):
    return f"{next(_numbers):09d}"


def bare_id(body, name, position):
    return f"{next(_numbers):032x}"


def vllm_id(body, name, position):
    return f"chatcmpl-tool-{next(_numbers):032x}"


def kimi_id(body, name, position):
    """`functions.NAME:NUMBER`, counted through the conversation."""
    before = sum(len(message.get("tool_calls") or []) for message in body["messages"])
    return f"functions.{name}:{before + position}"


def gemini_id(body, name, position):
    # Older models give none: <https://github.com/open-webui/computer/issues/224>
    return "" if body["model"].startswith("gemini-2") else f"{next(_numbers):08x}"


# --- A provider ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dialect:
    """What one provider takes and how it answers."""

    # What stands before `/chat/completions`, after the prefix.
    base: str
    # Models that differ in what they take; the first one is the main one.
    models: tuple
    error: Callable
    rules: tuple
    # Where the reasoning stands: a field, "details" (OpenRouter), "parts" (Mistral) or nowhere.
    reasoning: str = "reasoning_content"
    # Models that show it in another field.
    reasoning_elsewhere: tuple = ()
    # Models that show no reasoning.
    silent_models: tuple = ()
    # Whether the arguments of a call come in pieces: always, never, or if `tool_stream` asks.
    calls: str = "pieces"
    call_id: Callable = opaque_id
    # The index of a streamed call: "counted", "zero" for all, or "absent".
    index: str = "counted"
    # Whether each message's first call carries a signature.
    signs: bool = False
    # Where the model wants its own reasoning back, as it was; "same" is where it stood.
    echo: str = ""
    # What `finish_reason` says of calls.
    finish: str = "tool_calls"
    # Usage of a stream: "asked" or "always" in a chunk of its own, "finish" in the chunk that
    # finishes, "x_groq" there in another place, "choice" inside the choice.
    usage: str = "asked"
    # A comment line that comes between the events.
    comment: str = ""
    # A chunk without choices that comes first.
    first_chunk: dict | None = None
    # Fields that stand in every chunk.
    extra: dict | None = None
    # Headers that may bring the key; none if no key is wanted.
    key_headers: tuple = ("authorization",)
    unknown_path_status: int = 404
    responses: bool = False
    # What stands before `/v1/messages`, and the rules there; None if the provider has no such place.
    native: str | None = None
    native_rules: tuple = ()
    # Requests of the suite that are refused there, and so through a proxy that passes them on.
    native_lacks: tuple = ()
    native_key_headers: tuple = ("authorization", "x-api-key")
    # Whether `count_tokens` is answered there.
    count_tokens: bool = False

    def reasoning_field(self, model):
        for start, name in self.reasoning_elsewhere:
            if model.startswith(start):
                return name
        return self.reasoning

    def refusals(self, body):
        for rule in self.rules:
            yield from rule(body)


# --- The table -----------------------------------------------------------------------------------

NAME = r"[a-zA-Z0-9_-]{1,64}"

# https://github.com/openai/openai-python/blob/main/src/openai/types/chat/completion_create_params.py
OPENAI_FIELDS = """
    audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens
    max_tokens messages metadata modalities model moderation n parallel_tool_calls prediction
    presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort
    response_format safety_identifier seed service_tier stop store stream stream_options temperature
    tool_choice tools top_logprobs top_p user verbosity web_search_options
"""
REASONING = ("gpt-5", "o1", "o3", "o4")
UNSUPPORTED = Refusal(
    "Unsupported parameter: '{name}' is not supported with this model.",
    "{name}",
    "unsupported_parameter",
)
TOO_LONG = Refusal(
    "Invalid '{name}': array too long. Expected an array with maximum length {count}, but got an array "
    "with length {seen} instead.",
    "{name}",
    "array_above_max_length",
)
UNANSWERED = Refusal(
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. The following tool_call_ids did not have response messages: {ids}",
    "messages.[{index}].role",
)
ORPHAN = Refusal(
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
    "'tool_calls'.",
    "messages.[{index}].role",
)


def default_sampling(body):
    """Models that think take 1 only, the newer ones anything while they do not."""
    model, effort = str(body.get("model")), body.get("reasoning_effort")
    if not model.startswith(REASONING):
        return
    if model.startswith(("gpt-5.1", "gpt-5.2", "gpt-5.4")) and effort == "none":
        return
    for name in ("temperature", "top_p"):
        if body.get(name, 1) != 1:
            yield Refusal(
                f"Unsupported value: '{name}' does not support {body[name]} with this model. Only the "
                "default (1) value is supported.",
                name,
                "unsupported_value",
            )


def effort_or_tools(body):
    """https://github.com/pipecat-ai/pipecat/issues/4043, https://github.com/BerriAI/litellm/pull/34569"""
    model, effort = str(body.get("model")), body.get("reasoning_effort")
    strict = model.startswith("gpt-5.6") and effort != "none"
    newer = model.startswith(("gpt-5.4", "gpt-5.5")) and effort not in (None, "none")
    if body.get("tools") and (strict or newer):
        hint = "Please use /v1/responses instead."
        if strict:
            hint = "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
        yield Refusal(
            f"Function tools with reasoning_effort are not supported for {model} in "
            f"/v1/chat/completions. {hint}",
            "reasoning_effort",
        )


def openai_schemas(body):
    for index, function in tools_of(body):
        place, name = f"tools[{index}].function.parameters", function.get("name")
        yield from responses.schema_refusals(place, name, function.get("parameters"))


def openai_efforts(body):
    """https://vercel.com/docs/ai-gateway/capabilities/reasoning/openai"""
    model = str(body.get("model"))
    known = next((k for start, k in responses.EFFORTS.items() if model.startswith(start)), None)
    if "reasoning_effort" in body and known is None:
        yield Refusal("Unrecognized request argument supplied: reasoning_effort")
    elif "reasoning_effort" in body and body["reasoning_effort"] not in known:
        yield Refusal(
            f"Unsupported value: 'reasoning_effort' does not support '{body['reasoning_effort']}' with "
            f"this model. Supported values are: {responses.listing(known)}.",
            "reasoning_effort",
            "unsupported_value",
        )


# https://github.com/openai/openai-python (types made of the specification), and where noted
OPENAI_RULES = (
    # https://github.com/nashsu/llm_wiki/issues/336
    known_fields(OPENAI_FIELDS, Refusal("Unrecognized request argument supplied: {name}")),
    for_models(
        REASONING,
        # https://github.com/koosoli/ESPHomeDesigner/issues/379
        unknown_fields(
            "max_tokens",
            Refusal(
                "Unsupported parameter: '{name}' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                "{name}",
                "unsupported_parameter",
            ),
        ),
        # https://github.com/huggingface/smolagents/pull/1662
        unknown_fields("stop presence_penalty frequency_penalty logit_bias", UNSUPPORTED),
    ),
    # https://github.com/enoch3712/ExtractThinker/issues/346
    for_models(
        ("gpt-4o",),
        within(
            "max_completion_tokens",
            1,
            16384,
            Refusal(
                "{name} is too large: {value}. This model supports at most {high} completion tokens, "
                "whereas you provided {value}.",
                "{name}",
            ),
        ),
    ),
    within(
        "max_completion_tokens",
        1,
        128_000,
        Refusal(
            "{name} is too large: {value}. This model supports at most {high} completion tokens, "
            "whereas you provided {value}.",
            "{name}",
        ),
    ),
    exclusive(
        "max_tokens",
        "max_completion_tokens",
        Refusal(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        ),
    ),
    default_sampling,
    openai_efforts,
    effort_or_tools,
    # https://github.com/continuedev/continue/issues/1572
    at_most("stop", 4, TOO_LONG),
    # https://github.com/musistudio/claude-code-router/issues/686
    at_most("tools", 128, TOO_LONG),
    no_empty_tools(
        Refusal(
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty "
            "array instead.",
            "tools",
            "empty_array",
        )
    ),
    only_with(
        "tool_choice", "tools", Refusal("'{name}' is only allowed when 'tools' are specified.")
    ),
    only_with(
        "parallel_tool_calls",
        "tools",
        Refusal("'{name}' is only allowed when 'tools' are specified."),
    ),
    only_with(
        "stream_options",
        "stream",
        Refusal("The '{name}' parameter is only allowed when 'stream' is enabled.", "{name}"),
    ),
    tool_names(
        NAME,
        Refusal(
            "Invalid 'tools[{index}].function.name': string does not match pattern. Expected a string "
            "that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            "tools[{index}].function.name",
            "invalid_value",
        ),
    ),
    tool_choices(
        ("none", "auto", "required"),
        True,
        Refusal(
            "Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
            "tool_choice",
            "invalid_value",
        ),
    ),
    named_tool_exists(
        Refusal(
            "Invalid value for 'tool_choice': 'function' {name} is not in the 'tools'.",
            "tool_choice",
        )
    ),
    openai_schemas,
    # https://github.com/camel-ai/camel/issues/2215
    call_ids(
        r".{1,40}",
        Refusal(
            "Invalid 'messages[1].tool_calls[0].id': string too long. Expected a string with maximum "
            "length 40, but got '{id}' instead.",
            "messages[1].tool_calls[0].id",
            "string_above_max_length",
        ),
    ),
    calls_are_answered(UNANSWERED, ORPHAN),
    content_not_null(
        Refusal(
            "Invalid value for 'content': expected a string, got null.",
            "messages.[{index}].content",
        )
    ),
    part_types(
        Refusal(
            "Invalid 'messages[{index}]': a part of type '{kind}' is not allowed for messages with role "
            "'{role}'.",
            "messages[{index}]",
        ),
        user="text image_url file input_audio",
        assistant="text refusal",
    ),
    image_urls(
        r"data:image/(png|jpeg|gif|webp);base64,|https?://",
        Refusal("Invalid image URL in 'messages[{index}]'.", None, "invalid_image_url"),
    ),
)

# https://github.com/groq/groq-python/blob/main/src/groq/types/chat/completion_create_params.py
GROQ_FIELDS = """
    citation_options compound_custom disable_tool_validation documents exclude_domains
    frequency_penalty function_call functions include_domains include_reasoning logit_bias logprobs
    max_completion_tokens max_tokens messages metadata model n parallel_tool_calls presence_penalty
    reasoning_effort reasoning_format response_format search_settings seed service_tier stop store
    stream stream_options temperature tool_choice tools top_logprobs top_p user
"""

# https://github.com/mistralai/platform-docs-public/blob/main/public/openapi.yaml
MISTRAL_FIELDS = """
    frequency_penalty guardrails max_tokens messages metadata model n parallel_tool_calls prediction
    presence_penalty prompt_cache_key prompt_mode random_seed reasoning_effort response_format
    safe_prompt stop stream temperature tool_choice tools top_p
"""
EXTRA = Refusal("Extra inputs are not permitted", "{name}", status=422)

# https://github.com/Cerebras/cerebras-cloud-sdk-python (types made of the specification)
CEREBRAS_FIELDS = """
    clear_thinking disable_reasoning frequency_penalty logit_bias logprobs max_completion_tokens
    max_tokens messages min_completion_tokens min_tokens model n parallel_tool_calls prediction
    presence_penalty prompt_cache_key reasoning_effort reasoning_format response_format seed
    service_tier stop stream stream_options temperature tool_choice tools top_logprobs top_p user
"""
WRONG_FORMAT = {"param": "validation_error", "code": "wrong_api_format"}

# https://github.com/fw-ai-external/python-sdk (types made of the specification). `stream_options` is
# not among them but sent by other clients without harm:
# https://github.com/vercel/ai/blob/main/packages/fireworks/src/fireworks-provider.ts
FIREWORKS_FIELDS = """
    chat_template_kwargs context_length_exceeded_behavior echo echo_last frequency_penalty
    function_call functions ignore_eos logit_bias logprobs max_completion_tokens max_tokens messages
    metadata min_p mirostat_lr mirostat_target model n parallel_tool_calls perf_metrics_in_response
    prediction presence_penalty prompt_cache_isolation_key prompt_cache_key prompt_truncate_len
    raw_output reasoning_effort reasoning_history repetition_penalty response_format
    return_token_ids safe_tokenization seed service_tier speculation stop stream stream_options
    temperature thinking tool_choice tools top_k top_logprobs top_p typical_p user
"""

# https://ai.google.dev/gemini-api/docs/openai
GEMINI_FIELDS = """
    extra_body max_completion_tokens max_tokens messages model n parallel_tool_calls reasoning_effort
    response_format stop stream stream_options temperature tool_choice tools top_p
"""


def gemini_schema(schema):
    """What `Schema` has no field or no value for."""
    found = has_keyword(
        """
        $schema $ref $defs additionalProperties propertyNames patternProperties const
        exclusiveMinimum exclusiveMaximum
        """
    )(schema)
    if found:
        return f'Unknown name "{found}": Cannot find field.'
    if isinstance(schema.get("type"), list):
        return 'Proto field is not repeating, cannot start list at "type".'
    if schema.get("enum") and schema.get("type", "string") != "string":
        return "enum: only allowed for STRING type"
    if any(not isinstance(value, str) for value in schema.get("enum") or []):
        return "Invalid value at 'enum' (TYPE_STRING)"
    if schema.get("type") == "array" and "items" not in schema:
        return "items: missing field."
    if schema.get("type") == "string" and schema.get("format", "enum") not in ("enum", "date-time"):
        return "format: only 'enum' and 'date-time' are supported for STRING type"
    return None


def kimi_schema(schema):
    """https://github.com/MoonshotAI/kimi-cli/issues/2531, https://github.com/earendil-works/pi/issues/4138"""
    reference = schema.get("$ref")
    if reference is not None and not str(reference).startswith("#/$defs"):
        return "references must start with #/$defs/"
    if reference is not None and len(schema) > 1:
        other = next(name for name in schema if name != "$ref")
        return f"conflicting keywords found after $ref expansion: {other}"
    if "anyOf" in schema and "type" in schema:
        return (
            "when using anyOf, type should be defined in anyOf items instead of the parent schema"
        )
    for name, inner in (schema.get("properties") or {}).items():
        if isinstance(inner, dict) and not {"type", "anyOf", "$ref", "enum"} & set(inner):
            return f"At path 'properties.{name}': type is not defined"
    return None


def json_is_named(body):
    kind = (body.get("response_format") or {}).get("type")
    if kind == "json_object" and "json" not in json.dumps(body.get("messages")).lower():
        yield Refusal(
            "Prompt must contain the word 'json' in some form to use 'response_format' of type "
            "'json_object'."
        )


DIALECTS = {
    # https://console.groq.com/docs/openai
    "groq": Dialect(
        base="/openai/v1",
        models=("openai/gpt-oss-120b", "moonshotai/kimi-k2-instruct", "qwen/qwen3-32b"),
        error=sparse_form,
        reasoning="reasoning",
        silent_models=("moonshotai/",),
        usage="x_groq",
        rules=(
            # https://github.com/musistudio/llms/pull/64
            known_fields(GROQ_FIELDS, Refusal("property '{name}' is unsupported")),
            unknown_fields(
                "logprobs logit_bias top_logprobs",
                Refusal("property '{name}' is unsupported"),
            ),
            # https://github.com/janhq/jan/issues/8136, https://github.com/karthink/gptel/issues/774
            known_message_fields(
                Refusal(
                    "'messages.{index}' : for 'role:{role}' the following must be satisfied"
                    "[('messages.{index}' : property '{name}' is unsupported)]"
                ),
                {role: names.replace(" name", "") for role, names in MESSAGE_FIELDS.items()},
            ),
            known_tool_fields(Refusal("'tools.{index}' : property '{name}' is unsupported")),
            # https://console.groq.com/docs/openai
            nowhere("cache_control", Refusal("property '{name}' is unsupported")),
            tool_schemas(has_keyword("$schema"), Refusal("property '{what}' is unsupported")),
            # https://github.com/OpenHands/OpenHands/issues/4643
            text_content(
                ("system", "assistant"),
                Refusal(
                    "'messages.{index}' : for 'role:{role}' the following must be satisfied"
                    "[('messages.{index}.content' : value must be a string)]"
                ),
            ),
            # https://github.com/anomalyco/opencode/issues/1000
            for_models(
                ("moonshotai/",),
                within(
                    "max_completion_tokens",
                    1,
                    16384,
                    Refusal("`max_tokens` must be less than or equal to `{high}`", "max_tokens"),
                ),
                # https://github.com/iamsrikanthnani/pluely/issues/242
                unknown_fields(
                    "reasoning_effort reasoning_format",
                    Refusal("`{name}` is not supported with this model"),
                ),
            ),
            for_models(
                ("qwen/",),
                # https://github.com/RooCodeInc/Roo-Code/pull/5136
                within(
                    "max_completion_tokens",
                    1,
                    40960,
                    Refusal("`max_tokens` must be less than or equal to `{high}`", "max_tokens"),
                ),
                # https://github.com/Alishahryar1/free-claude-code/issues/1348
                one_of(
                    "reasoning_effort",
                    ("none", "default"),
                    Refusal("`reasoning_effort` must be one of `none` or `default`"),
                ),
            ),
            for_models(
                ("openai/gpt-oss",),
                one_of(
                    "reasoning_effort",
                    ("low", "medium", "high"),
                    Refusal("`reasoning_effort` must be one of `low`, `medium`, or `high`"),
                ),
            ),
            # https://console.groq.com/docs/openai
            at_most("stop", 4, Refusal("'stop' : maximum number of items is {count}")),
            # https://github.com/mastra-ai/mastra/issues/9688
            at_most("tools", 128, Refusal("'tools' : maximum number of items is {count}")),
            # https://github.com/brianpetro/obsidian-smart-connections/issues/942
            tool_choices(
                ("none", "auto", "required"),
                True,
                Refusal(
                    "Only allowed string values for 'tool_choice' are none, auto, and required"
                ),
            ),
            named_tool_exists(Refusal("requested tool does not exist")),
            tool_names(NAME, Refusal("'tools.{index}.function.name' : does not match pattern")),
        ),
    ),
    "openai": Dialect(
        base="/v1",
        models=("gpt-5.6", "gpt-5.4", "gpt-5", "gpt-4o"),
        error=openai_form,
        reasoning="",
        extra={"service_tier": "default", "obfuscation": "aBcD"},
        responses=True,
        rules=OPENAI_RULES,
    ),
    # https://learn.microsoft.com/en-us/azure/foundry/openai/api-version-lifecycle
    "azure": Dialect(
        base="/openai/v1",
        models=("gpt-5.4", "gpt-4o"),
        error=openai_form,
        reasoning="",
        key_headers=("api-key", "authorization"),
        first_chunk={
            "choices": [],
            "created": 0,
            "id": "",
            "model": "",
            "object": "",
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
        },
        responses=True,
        rules=OPENAI_RULES,
    ),
    # https://openrouter.ai/docs/api/reference/parameters
    "openrouter": Dialect(
        base="/api/v1",
        models=("anthropic/claude-opus-5", "google/gemini-3.1-pro-preview", "openai/gpt-5.6"),
        error=openrouter_form,
        reasoning="details",
        usage="always",
        comment=": OPENROUTER PROCESSING",
        native="/api",
        native_key_headers=("authorization",),
        native_rules=(native.thinking_is_signed,),
        echo="reasoning_details",
        rules=(
            # https://github.com/open-webui/open-webui/issues/26404
            reasoning_details(
                Refusal("messages.{index}.content.0: Invalid `signature` in `thinking` block")
            ),
            tool_names(NAME, Refusal("tools.{index}.name: String should match pattern")),
            calls_are_answered(UNANSWERED, ORPHAN),
        ),
    ),
    # https://docs.x.ai/docs/guides/reasoning
    "xai": Dialect(
        base="/v1",
        models=("grok-4.6", "grok-4.20-reasoning"),
        error=xai_form,
        calls="whole",
        rules=(
            # https://github.com/BerriAI/litellm/issues/12635
            unknown_fields("stop", Refusal("Argument not supported on this model: {name}")),
            # https://github.com/miaoxworld/NativeTavern/issues/83
            unknown_fields(
                "presence_penalty",
                Refusal("Model grok-4.6 does not support parameter presencePenalty."),
            ),
            unknown_fields(
                "frequency_penalty",
                Refusal("Model grok-4.6 does not support parameter frequencyPenalty."),
            ),
            # https://github.com/router-for-me/CLIProxyAPI/pull/3968
            for_models(
                ("grok-4.20-reasoning",),
                unknown_fields(
                    "reasoning_effort",
                    Refusal(
                        "Model grok-4.20-reasoning does not support parameter reasoningEffort."
                    ),
                ),
            ),
            # https://github.com/anomalyco/opencode/issues/39448
            for_models(
                ("grok-4.6",),
                one_of(
                    "reasoning_effort",
                    ("low", "medium", "high", "xhigh"),
                    Refusal("Model {model} does not support reasoningEffort {value}."),
                ),
            ),
            # https://github.com/anomalyco/opencode/issues/28911
            at_most(
                "tools",
                200,
                Refusal(
                    "Maximum tools limit reached. {seen} tools have been provided but the maximum is "
                    "{count}."
                ),
            ),
            # https://github.com/Wei-Shaw/sub2api/pull/4439
            only_with("tool_choice", "tools", Refusal("A tool_choice was set without any tools.")),
            # https://github.com/openclaw/openclaw/pull/32080
            tool_schemas(
                has_keyword("minLength maxLength minItems maxItems minContains maxContains"),
                Refusal("Invalid arguments passed to the model."),
            ),
        ),
    ),
    # https://ai.google.dev/gemini-api/docs/openai
    "gemini": Dialect(
        base="/v1beta/openai",
        models=("gemini-3.8-flash", "gemini-3.1-pro-preview", "gemini-2.5-pro"),
        error=gemini_form,
        reasoning="",
        calls="whole",
        call_id=gemini_id,
        index="absent",
        signs=True,
        finish="stop",
        echo="thought_signature",
        rules=(
            # https://github.com/MinLL/SkyrimNet-GamePlugin/issues/77
            known_fields(
                GEMINI_FIELDS,
                Refusal('Invalid JSON payload received. Unknown name "{name}": Cannot find field.'),
            ),
            # https://github.com/TokenRhythm/opensquilla/issues/225, and for another's or an altered one
            # https://ai.google.dev/gemini-api/docs/thought-signatures
            for_models(
                ("gemini-3",),
                thought_signatures(
                    Refusal(
                        "Function call is missing a thought_signature in functionCall parts. This is "
                        "required for tools to work correctly, and missing thought_signature may lead "
                        "to degraded model performance. Additional data, function call "
                        "`default_api:{name}` , position {index}. Please refer to "
                        "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
                    ),
                    Refusal("Corrupted thought signature."),
                ),
                # https://github.com/pydantic/pydantic-ai/issues/1967
                one_of(
                    "reasoning_effort",
                    ("minimal", "low", "medium", "high"),
                    Refusal("Thinking can't be disabled for this model."),
                ),
            ),
            # https://github.com/tashfeenahmed/freellmapi/pull/160
            for_models(
                ("gemini-3.1-pro",),
                one_of(
                    "reasoning_effort",
                    ("low", "medium", "high"),
                    Refusal("Thinking level {value} is not supported for this model."),
                ),
            ),
            # https://github.com/openswarm-ai/openswarm/issues/24,
            # https://github.com/google-gemini/gemini-cli/issues/3178
            tool_schemas(
                gemini_schema,
                Refusal(
                    "Invalid value at 'tools[0].function_declarations[{index}].parameters': {what}"
                ),
            ),
            # https://github.com/google-gemini/gemini-cli/issues/7878
            tool_names(
                r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}",
                Refusal(
                    "Invalid value at 'tools[0].function_declarations[{index}].name': [FIELD_INVALID] "
                    "Invalid function name. Must start with a letter or an underscore. Must be a-z, "
                    "A-Z, 0-9, or contain underscores, dots and dashes, with a maximum length of 64."
                ),
            ),
            # https://github.com/musistudio/claude-code-router/pull/1207
            only_with(
                "tool_choice",
                "tools",
                Refusal("Function calling config is set without function_declarations."),
            ),
            # https://github.com/anomalyco/opencode/pull/43479
            calls_are_answered(
                Refusal(
                    "Please ensure that the number of function response parts is equal to the number of "
                    "function call parts of the function call turn."
                ),
                Refusal(
                    "Please ensure that function response turn comes immediately after a function call "
                    "turn."
                ),
            ),
        ),
    ),
    # https://github.com/mistralai/platform-docs-public/blob/main/public/openapi.yaml
    "mistral": Dialect(
        base="/v1",
        models=("mistral-small-latest", "mistral-large-latest"),
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
                Refusal(
                    "Extra inputs are not permitted", "messages.{index}.{role}.{name}", status=422
                ),
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
    ),
    # https://github.com/ollama/ollama/blob/main/openai/openai.go
    "ollama": Dialect(
        base="/v1",
        models=("qwen3:8b", "llama3.2"),
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
    ),
    # https://api-docs.deepseek.com/guides/thinking_mode
    "deepseek": Dialect(
        base="/v1",
        models=("deepseek-v4-pro", "deepseek-flash"),
        error=deepseek_form,
        native="/anthropic",
        native_rules=(
            native.results_first,
            # https://github.com/decolua/9router/issues/2397
            native.thinking_beside_calls(
                Refusal(
                    "The `content[].thinking` in the thinking mode must be passed back to the API."
                )
            ),
        ),
        echo="reasoning_content",
        rules=(
            # https://github.com/JohnnyZ93/oai-compatible-copilot/issues/215
            while_thinking(
                reasoning_beside_calls(
                    "reasoning_content",
                    Refusal(
                        "The `reasoning_content` in the thinking mode must be passed back to the API."
                    ),
                ),
                # https://github.com/BerriAI/litellm/pull/37470
                tool_choices(
                    ("none", "auto"),
                    False,
                    Refusal("Thinking mode does not support this tool_choice"),
                ),
            ),
            tool_choices(
                ("none", "auto", "required"),
                True,
                Refusal(
                    "Failed to deserialize the JSON body into the target type: tool_choice: unknown "
                    "variant `{choice}`, expected one of `none`, `auto`, `required`"
                ),
            ),
            # https://api-docs.deepseek.com/guides/thinking_mode
            one_of(
                "reasoning_effort",
                ("minimal", "low", "medium", "high", "xhigh", "max", "ultra"),
                Refusal(
                    "Failed to deserialize the JSON body into the target type: reasoning_effort: unknown "
                    "variant `{value}`, expected one of `low`, `high`, `max`"
                ),
            ),
            # https://github.com/MoonshotAI/kimi-code/issues/509
            within(
                "max_tokens",
                1,
                393_216,
                Refusal(
                    "Invalid max_tokens value, the valid range of max_tokens is [{low}, {high}]"
                ),
            ),
            # https://github.com/llm-exe/llm-exe/issues/662
            response_formats(
                ("text", "json_object"), Refusal("This response_format type is unavailable now")
            ),
            # https://github.com/browserbase/stagehand/issues/1204
            json_is_named,
            # https://github.com/zed-industries/zed/issues/57531
            tool_names(
                NAME,
                Refusal(
                    "Invalid 'tools[{index}].function.name': string does not match pattern. Expected a "
                    "string that matches the pattern '^[a-zA-Z0-9_-]+$'."
                ),
            ),
            at_most("tools", 128, Refusal("Invalid 'tools': array too long.")),
            # https://github.com/danny-avila/LibreChat/issues/10756
            part_types(
                Refusal(
                    "Failed to deserialize the JSON body into the target type: messages[{index}].content: "
                    "unknown variant `{kind}`, expected `text` at line 1 column 1"
                )
            ),
            # https://github.com/tailcallhq/forgecode/issues/2008
            text_content(
                ("tool",),
                Refusal(
                    "Failed to deserialize the JSON body into the target type: messages[{index}]: "
                    "invalid type: sequence, expected a string at line 1 column 1"
                ),
            ),
            content_present(
                Refusal(
                    "Failed to deserialize the JSON body into the target type: messages[{index}]: "
                    "missing field `content` at line 1 column 1"
                )
            ),
            calls_are_answered(
                Refusal(
                    "An assistant message with 'tool_calls' must be followed by tool messages responding "
                    "to each 'tool_call_id'. (insufficient tool messages following tool_calls message)"
                ),
                Refusal(
                    "Messages with role 'tool' must be a response to a preceding message with "
                    "'tool_calls'"
                ),
            ),
        ),
    ),
    # https://inference-docs.cerebras.ai/resources/openai
    "cerebras": Dialect(
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
                Refusal(
                    "messages.{index}.{role}.content: unsupported part '{kind}'", **WRONG_FORMAT
                ),
                user="text image_url image",
                system="text image_url image",
            ),
        ),
    ),
    # https://docs.together.ai/docs/inference/chat/reasoning
    "together": Dialect(
        base="/v1",
        models=("zai-org/GLM-5.2", "openai/gpt-oss-120b"),
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
    ),
    # https://docs.fireworks.ai/tools-sdks/migrate-to-fireworks
    "fireworks": Dialect(
        base="/inference/v1",
        models=("accounts/fireworks/models/glm-5p2", "accounts/fireworks/models/gpt-oss-120b"),
        error=fireworks_form,
        usage="finish",
        native="/inference",
        rules=(
            # https://github.com/web-infra-dev/midscene/issues/1322
            known_fields(
                FIREWORKS_FIELDS, Refusal("Extra inputs are not permitted, field: '{name}'")
            ),
            exclusive(
                "max_tokens",
                "max_completion_tokens",
                Refusal("Cannot be specified together with max_tokens"),
            ),
            exclusive(
                "thinking",
                "reasoning_effort",
                Refusal("Cannot specify both thinking and reasoning_effort"),
            ),
            for_models(
                ("accounts/fireworks/models/gpt-oss",),
                one_of(
                    "reasoning_effort",
                    ("low", "medium", "high"),
                    Refusal("Invalid reasoning effort: {value}"),
                ),
            ),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high", "none", True, False),
                Refusal("Invalid reasoning effort: {value}"),
            ),
            within("top_k", 0, 100, Refusal("top_k must be between {low} and {high}")),
            at_most("stop", 4, Refusal("stop: at most {count} items")),
            tool_names(NAME, Refusal("Invalid function name: {name}")),
        ),
    ),
    # https://docs.z.ai/guides/capabilities/thinking-mode
    "zai": Dialect(
        base="/api/paas/v4",
        models=("glm-5.2", "glm-4.6v"),
        error=zai_form,
        calls="asked",
        usage="finish",
        native="/api/anthropic",
        echo="reasoning_content",
        rules=(
            # https://github.com/vectorize-io/hindsight/issues/4246
            tool_choices(("auto",), False, Refusal("Tool choice must be auto")),
            # https://github.com/api-evangelist/zhipu-ai/blob/main/openapi/_original/zhipu-ai-openapi.json
            at_most("stop", 1, Refusal("Invalid API parameter, please check the documentation.")),
            at_most(
                "tools", 128, Refusal("Invalid API parameter, please check the documentation.")
            ),
            tool_has(
                "description", Refusal("Invalid API parameter, please check the documentation.")
            ),
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
    ),
    # https://github.com/api-evangelist/moonshot-ai/blob/main/openapi/moonshot-ai-chat-api-openapi.yml
    "moonshot": Dialect(
        base="/v1",
        models=("kimi-k3", "kimi-k2.6"),
        error=moonshot_form,
        call_id=kimi_id,
        usage="choice",
        native="/anthropic",
        native_rules=(
            # https://github.com/anthropics/claude-code/issues/37757
            native.thinking_beside_calls(
                Refusal(
                    "thinking is enabled but reasoning_content is missing in assistant tool call "
                    "message at index {index}"
                )
            ),
        ),
        echo="reasoning_content",
        rules=(
            # https://github.com/continuedev/continue/issues/11600
            while_thinking(
                reasoning_beside_calls(
                    "reasoning_content",
                    Refusal(
                        "thinking is enabled but reasoning_content is missing in assistant tool call "
                        "message at index {index}"
                    ),
                ),
            ),
            # https://github.com/UKGovernmentBEIS/inspect_ai/pull/5152
            for_models(
                ("kimi-k2",),
                while_thinking(
                    tool_choices(
                        ("none", "auto"),
                        False,
                        Refusal("tool_choice '{choice}' is incompatible with thinking enabled"),
                    )
                ),
            ),
            # https://github.com/HKUDS/nanobot/issues/3939
            exclusive(
                "thinking",
                "reasoning_effort",
                Refusal("cannot specify both 'thinking' and 'reasoning_effort'"),
            ),
            # https://github.com/anomalyco/opencode/issues/27796
            within(
                "temperature",
                1,
                1,
                Refusal("invalid temperature: only 1 is allowed for this model"),
            ),
            within(
                "top_p",
                0.95,
                0.95,
                Refusal("invalid top_p: only 0.95 is allowed for this model"),
            ),
            at_most("stop", 5, Refusal("stop: at most {count} strings are allowed")),
            at_most("tools", 128, Refusal("at most {count} tools are allowed")),
            # https://github.com/MoonshotAI/kimi-cli/issues/1773
            tool_names(
                r"[a-zA-Z_][a-zA-Z0-9_-]{2,63}",
                Refusal(
                    "function name is invalid, must start with a letter and can contain letters, "
                    "numbers, underscores, and dashes"
                ),
            ),
            tool_schemas(
                kimi_schema,
                Refusal(
                    "Invalid request: tools.function.parameters is not a valid moonshot flavored json "
                    "schema, details: <{what}>"
                ),
            ),
            texts_not_empty(
                Refusal("Invalid request: message at position {index} must not be empty")
            ),
        ),
    ),
    # https://www.alibabacloud.com/help/en/model-studio/error-code
    "dashscope": Dialect(
        base="/compatible-mode/v1",
        models=("qwen3.8-max", "qwen3.5-plus"),
        error=dashscope_form,
        native="/apps/anthropic",
        rules=(
            # https://github.com/cloudwego/eino/issues/994
            while_thinking(
                tool_choices(
                    ("none", "auto"),
                    False,
                    Refusal(
                        "The tool_choice parameter does not support being set to required or object in "
                        "thinking mode"
                    ),
                )
            ),
            # https://github.com/VicBilibily/GCMP/issues/384
            one_of(
                "reasoning_effort",
                ("none", "minimal", "low", "medium", "high", "xhigh"),
                Refusal("'reasoning_effort' must be one of: {values}"),
            ),
            # https://github.com/anomalyco/opencode/issues/41531
            exclusive(
                "reasoning_effort",
                "thinking_budget",
                Refusal("'reasoning_effort' and 'thinking_budget' cannot be set simultaneously"),
            ),
            # https://github.com/anomalyco/opencode/issues/40770
            for_models(
                ("qwen3.8",),
                within(
                    "max_tokens",
                    1,
                    131_072,
                    Refusal("Range of max_tokens should be [{low}, {high}]"),
                ),
            ),
            # https://github.com/NousResearch/hermes-agent/pull/19624
            for_models(
                ("qwen3.5",),
                within(
                    "max_tokens",
                    1,
                    65_536,
                    Refusal("Range of max_tokens should be [{low}, {high}]"),
                ),
            ),
            # https://github.com/HKUDS/nanobot/issues/2469
            arguments_are_objects(
                Refusal(
                    'The "function.arguments" parameter of the code model must be in JSON format.'
                )
            ),
            # https://github.com/QwenLM/qwen-code/issues/2360
            calls_are_answered(
                Refusal(
                    'An assistant message with "tool_calls" must be followed by tool messages responding '
                    'to each "tool_call_id". The following tool_call_ids did not have response messages: '
                    "message[{index}].role"
                ),
                Refusal(
                    'messages with role "tool" must be a response to a preceeding message with '
                    '"tool_calls".'
                ),
            ),
        ),
    ),
    # https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/chat_completion/protocol.py
    "vllm": Dialect(
        base="/v1",
        models=("Qwen/Qwen3.5-27B",),
        error=vllm_form,
        reasoning="reasoning",
        call_id=vllm_id,
        key_headers=(),
        native="",
        native_key_headers=(),
        native_rules=(native.vllm_blocks, native.tools_have_schemas),
        native_lacks=("a document, PDF", "a document, text", "a server tool"),
        count_tokens=True,
        rules=(
            one_of(
                "reasoning_effort",
                ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
                Refusal("Input should be {values}", "reasoning_effort"),
            ),
            no_empty_tools(
                Refusal(
                    "`tools` must not be an empty array. Either provide at least one tool or omit the "
                    "field entirely."
                )
            ),
            only_with(
                "tool_choice", "tools", Refusal("When using `tool_choice`, `tools` must be set.")
            ),
            tool_choices(
                ("none", "auto", "required"),
                True,
                Refusal(
                    'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or '
                    '"required" are supported.'
                ),
            ),
            named_tool_exists(
                Refusal(
                    "The tool specified in `tool_choice` does not match any of the specified `tools`"
                )
            ),
            only_with(
                "stream_options",
                "stream",
                Refusal("Stream options can only be defined when `stream=True`."),
            ),
            # https://github.com/vllm-project/vllm/issues/44000
            system_first(Refusal("System message must be at the beginning.")),
            arguments_are_objects(Refusal("Expecting value: line 1 column 1 (char 0)")),
        ),
    ),
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/server-common.cpp
    "llamacpp": Dialect(
        base="/v1",
        models=("local",),
        error=llamacpp_form,
        call_id=bare_id,
        key_headers=(),
        extra={"timings": {"prompt_n": 1, "predicted_n": 1}},
        native="",
        native_key_headers=(),
        count_tokens=True,
        rules=(
            tool_choices(
                ("none", "auto", "required"), True, Refusal("Invalid tool_choice: {choice}")
            ),
            content_not_null(Refusal("All non-assistant messages must contain 'content'")),
            part_types(
                Refusal("unsupported content[].type"),
                user="text image_url input_audio",
                system="text image_url input_audio",
                tool="text image_url input_audio",
                assistant="text image_url input_audio",
            ),
            # A trailing answer is one that begins: not while the model thinks.
            while_thinking(
                last_role(
                    ("user", "tool", "system"),
                    Refusal("Assistant response prefill is incompatible with enable_thinking."),
                )
            ),
            # https://github.com/ggml-org/llama.cpp/issues/27107
            system_first(Refusal("System message must be at the beginning.")),
        ),
    ),
    # https://lmstudio.ai/docs/developer/openai-compat/chat-completions
    "lmstudio": Dialect(
        base="/v1",
        models=("openai/gpt-oss-20b", "qwen3-coder"),
        error=lmstudio_form,
        reasoning_elsewhere=(("openai/gpt-oss", "reasoning"),),
        call_id=nine_characters,
        key_headers=(),
        unknown_path_status=200,
        native="",
        native_key_headers=(),
        rules=(
            # https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/670
            tool_choices(
                ("none", "auto", "required"),
                False,
                Refusal(
                    "Invalid tool_choice type: '{choice}'. Supported string values: none, auto, required"
                ),
            ),
            # https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/1077
            text_content(
                ("tool",), Refusal("invalid_type: messages.{index}.content: expected string")
            ),
        ),
    ),
    # https://platform.claude.com/docs/en/api/messages
    "anthropic": Dialect(
        base="/v1",
        models=("claude-opus-5-5",),
        error=openai_form,
        rules=(),
        native="",
        native_key_headers=("x-api-key", "authorization"),
        native_rules=(
            native.known_fields,
            native.betas_are_named,
            native.thinking_is_signed,
            native.calls_are_answered,
        ),
        count_tokens=True,
    ),
}

"""What the Responses API refuses: a strict reader of requests.

Follows <https://platform.openai.com/docs/api-reference/responses>.
"""

import re

from responses import unseal
from script import Refusal

REQUEST_FIELDS = set(
    """
    background context_management conversation include input instructions max_output_tokens
    max_tool_calls metadata model parallel_tool_calls previous_response_id prompt prompt_cache_key
    prompt_cache_options prompt_cache_retention reasoning safety_identifier service_tier store
    stream stream_options temperature text tool_choice tools top_logprobs top_p truncation user
    """.split()
)
# Fields of chat completions, and where they are now.
MOVED = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}
INCLUDES = {
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
}
ITEM_FIELDS = {
    "message": {"type", "role", "content", "id", "status", "phase"},
    "reasoning": {"type", "id", "summary", "content", "encrypted_content", "status"},
    "function_call": {"type", "id", "call_id", "name", "arguments", "status", "namespace"},
    "function_call_output": {"type", "id", "call_id", "output", "status"},
}
# An id is optional, but where it stands it begins like this.
ID_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc"}
PART_FIELDS = {
    "input_text": {"type", "text", "prompt_cache_breakpoint"},
    "input_image": {"type", "image_url", "file_id", "detail", "prompt_cache_breakpoint"},
    "input_file": {"type", "file_data", "file_id", "file_url", "filename", "detail"},
    "output_text": {"type", "text", "annotations", "logprobs"},
    "refusal": {"type", "refusal"},
}
INPUT_PARTS = ["input_text", "input_image", "input_file"]
OUTPUT_PARTS = ["output_text", "refusal"]
TOOL_FIELDS = {"type", "name", "description", "parameters", "strict", "defer_loading"}
# https://developers.openai.com/api/docs/guides/tools-web-search
SEARCH_FIELDS = {"type", "filters", "user_location", "search_context_size", "external_web_access"}
NAME = re.compile(r"[a-zA-Z0-9_-]+")
# Models that think, and so refuse what would steer their sampling; and the efforts they know, the
# longer name first: <https://vercel.com/docs/ai-gateway/capabilities/reasoning/openai>,
# <https://github.com/anomalyco/opencode/issues/36141>.
EFFORTS = {
    # https://github.com/anomalyco/opencode/issues/39448
    "grok-4": ["low", "medium", "high", "xhigh"],
    # https://github.com/langchain-ai/langchain/pull/40330
    "gpt-6": ["low", "medium", "high", "xhigh", "max"],
    "gpt-5.6": ["none", "low", "medium", "high", "xhigh", "max"],
    "gpt-5.5": ["none", "low", "medium", "high", "xhigh"],
    "gpt-5.4": ["none", "low", "medium", "high", "xhigh"],
    "gpt-5.2": ["none", "low", "medium", "high", "xhigh"],
    "gpt-5.1": ["none", "low", "medium", "high"],
    "gpt-5": ["minimal", "low", "medium", "high"],
    "o": ["low", "medium", "high"],
}


def refusals(body):
    """Yields everything in a request that the service refuses; it says only the first."""
    for name in sorted(set(body) - REQUEST_FIELDS):
        if name in MOVED:
            yield Refusal(
                f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to "
                f"'{MOVED[name]}'. Try again with the new parameter.",
                name,
                "unsupported_parameter",
            )
        else:
            yield unknown(name)
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield missing("model")
    if not body.get("input"):
        yield missing("input")
    yield from limit_refusals(body)
    for name in body.get("include") or []:
        if name not in INCLUDES:
            yield invalid("include[0]", name, sorted(INCLUDES))
    if "stream_options" in body and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        yield Refusal(message, "stream_options")
    for name in set(body.get("stream_options") or {}) - {"include_obfuscation"}:
        yield unknown(f"stream_options.{name}")
    if body.get("previous_response_id"):
        message = f"Previous response with id '{body['previous_response_id']}' not found."
        yield Refusal(message, "previous_response_id", "previous_response_not_found")
    yield from model_refusals(body)
    yield from format_refusals(body.get("text") or {})
    yield from tool_refusals(body)
    if isinstance(body.get("input"), list):
        yield from input_refusals(body["input"])


def unknown(param):
    return Refusal(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


def missing(param):
    return Refusal(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def invalid(param, value, supported):
    message = f"Invalid value: '{value}'. Supported values are: {listing(supported)}."
    return Refusal(message, param, "invalid_value")


def listing(values):
    *most, last = [f"'{value}'" for value in values]
    return f"{', '.join(most)}, and {last}" if most else last


def limit_refusals(body):
    limit = body.get("max_output_tokens")
    if limit is not None and type(limit) is not int:
        message = "Invalid type for 'max_output_tokens': expected an integer."
        yield Refusal(message, "max_output_tokens", "invalid_type")
    elif limit is not None and limit < 16:
        yield Refusal(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but "
            f"got {limit} instead.",
            "max_output_tokens",
            "integer_below_min_value",
        )
    elif limit is not None and limit > 128_000:
        yield Refusal(
            f"max_output_tokens is too large: {limit}. This model supports at most 128000 completion "
            f"tokens, whereas you provided {limit}.",
            "max_output_tokens",
        )
    for name, longest in [("safety_identifier", 64), ("prompt_cache_key", 64), ("user", 64)]:
        if len(body.get(name) or "") > longest:
            yield too_long(name, body[name], longest)


def too_long(param, value, longest):
    return Refusal(
        f"Invalid '{param}': string too long. Expected a string with maximum length {longest}, but "
        f"got a string with length {len(value)} instead.",
        param,
        "string_above_max_length",
    )


def model_refusals(body):
    reasoning, model = body.get("reasoning"), str(body.get("model"))
    efforts = next((known for start, known in EFFORTS.items() if model.startswith(start)), None)
    if efforts is None:
        if reasoning:
            yield unsupported("reasoning.effort")
        if "reasoning.encrypted_content" in (body.get("include") or []):
            # <https://github.com/OpenHands/software-agent-sdk/pull/1208>
            yield Refusal("Encrypted content is not supported with this model.", "include")
        return
    for name in ("temperature", "top_p", "top_logprobs"):
        if name in body:
            yield unsupported(name)
    if reasoning is None:
        return
    for name in sorted(
        set(reasoning) - {"effort", "summary", "generate_summary", "context", "mode"}
    ):
        yield unknown(f"reasoning.{name}")
    if reasoning.get("effort") not in (None, *efforts):
        yield Refusal(
            f"Unsupported value: '{reasoning['effort']}' is not supported with the '{model}' model. "
            f"Supported values are: {listing(efforts)}.",
            "reasoning.effort",
            "unsupported_value",
        )
    if reasoning.get("summary") not in (None, "auto", "concise", "detailed"):
        yield invalid("reasoning.summary", reasoning["summary"], ["concise", "detailed", "auto"])


def unsupported(param):
    message = f"Unsupported parameter: '{param}' is not supported with this model."
    return Refusal(message, param)


def format_refusals(text):
    for name in sorted(set(text) - {"format", "verbosity"}):
        yield unknown(f"text.{name}")
    form = text.get("format")
    if form is None:
        return
    known = {"type", "name", "schema", "strict", "description"}
    for name in sorted(set(form) - known):
        yield unknown(f"text.format.{name}")
    if form.get("type") not in ("text", "json_object", "json_schema"):
        yield invalid("text.format.type", form.get("type"), ["json_object", "json_schema", "text"])
    if form.get("type") == "json_schema":
        if not NAME.fullmatch(str(form.get("name") or "")):
            yield missing("text.format.name")
        if not isinstance(form.get("schema"), dict):
            yield missing("text.format.schema")
        elif form.get("strict"):
            yield from strict_refusals("response_format", form["name"], form["schema"])


def strict_refusals(what, name, schema, context=()):
    """`strict` wants every object closed and all its properties required."""
    if not isinstance(schema, dict):
        return
    start = f"Invalid schema for {what} '{name}': In context={context!r}, "
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        absent = [key for key in properties if key not in schema.get("required", [])]
        if schema.get("additionalProperties") is not False:
            message = "'additionalProperties' is required to be supplied and to be false."
            yield Refusal(start + message, None, "invalid_json_schema")
        if absent:
            yield Refusal(
                f"{start}'required' is required to be supplied and to be an array including every "
                f"key in properties. Missing '{absent[0]}'.",
                None,
                "invalid_json_schema",
            )
        for key, value in properties.items():
            yield from strict_refusals(what, name, value, (*context, "properties", key))
    if "items" in schema:
        yield from strict_refusals(what, name, schema["items"], (*context, "items"))


def tool_refusals(body):
    names, tools = [], body.get("tools") or []
    if len(tools) > 128:
        yield Refusal(
            "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an "
            f"array with length {len(tools)} instead.",
            "tools",
            "array_above_max_length",
        )
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        if tool.get("type") == "web_search":
            for name in sorted(set(tool) - SEARCH_FIELDS):
                yield unknown(f"{place}.{name}")
            continue
        if tool.get("type") != "function":
            # What else there is runs on the server, and no client of ours asks for it.
            yield invalid(f"{place}.type", tool.get("type"), ["function", "web_search"])
            continue
        if not tool.get("name"):
            yield missing(f"{place}.name")
            continue
        for name in sorted(set(tool) - TOOL_FIELDS):
            yield unknown(f"{place}.{name}")
        names.append(tool["name"])
        yield from name_refusals(f"{place}.name", tool["name"])
        parameters = tool.get("parameters")
        if parameters is not None and parameters.get("type") != "object":
            yield Refusal(
                f"Invalid schema for function '{tool['name']}': schema must be a JSON Schema of 'type: "
                f'"object"\', got \'type: "{parameters.get("type")}"\'.',
                f"{place}.parameters",
                "invalid_function_parameters",
            )
        elif parameters is not None and tool.get("strict"):
            yield from strict_refusals("function", tool["name"], parameters)
        elif parameters is not None:
            yield from schema_refusals(f"{place}.parameters", tool["name"], parameters)
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict):
        for name in sorted(set(choice) - {"type", "name", "mode", "tools"}):
            yield unknown(f"tool_choice.{name}")
        if choice.get("type") == "function" and choice.get("name") not in names:
            yield Refusal("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")
    elif choice not in ("auto", "none", "required"):
        yield invalid("tool_choice", choice, ["none", "auto", "required"])
    elif choice == "required" and not tools:
        message = "Tool choice 'required' must be specified with 'tools' parameter."
        yield Refusal(message, "tool_choice")


def schema_refusals(param, name, schema, context=()):
    """What even a schema without `strict` needs.

    <https://github.com/github/github-mcp-server/issues/1548>,
    <https://github.com/evalstate/fast-agent/issues/143>
    """
    if not isinstance(schema, dict):
        return
    for kind, key in [("object", "properties"), ("array", "items")]:
        # Only the whole is known to need properties.
        asked = kind == "array" or not context
        if asked and schema.get("type") == kind and key not in schema:
            message = f"In context={context!r}, {kind} schema missing {key}."
            message = f"Invalid schema for function '{name}': {message}"
            yield Refusal(message, param, "invalid_function_parameters")
    for key, value in (schema.get("properties") or {}).items():
        yield from schema_refusals(param, name, value, (*context, "properties", key))
    yield from schema_refusals(param, name, schema.get("items"), (*context, "items"))


def name_refusals(param, name):
    if not NAME.fullmatch(str(name)):
        yield Refusal(
            f"Invalid '{param}': string does not match pattern. Expected a string that matches the "
            "pattern '^[a-zA-Z0-9_-]+$'.",
            param,
            "invalid_value",
        )
    elif len(name) > 64:
        yield too_long(param, name, 64)


def input_refusals(items):
    """Reads the items in order; a call and its output, and what was thought before it, belong together."""
    calls, answered, ids = {}, set(), set()
    for index, item in enumerate(items):
        place = f"input[{index}]"
        kind = item.get("type", "message" if "role" in item else None)
        if kind not in ITEM_FIELDS:
            yield invalid(place, kind, sorted(ITEM_FIELDS))
            continue
        for name in sorted(set(item) - ITEM_FIELDS[kind]):
            yield unknown(f"{place}.{name}")
        identifier = item.get("id")
        if identifier is not None:
            prefix = ID_PREFIXES.get(kind, "fc")
            if not identifier.startswith(prefix):
                yield Refusal(
                    f"Invalid '{place}.id': '{identifier}'. Expected an ID that begins with '{prefix}'.",
                    f"{place}.id",
                    "invalid_value",
                )
            if identifier in ids:
                yield Refusal(
                    f"Duplicate item found with id {identifier}. Remove duplicate items from your "
                    "input and try again.",
                    "input",
                )
            led_by = identifier.partition("_of_")[2]
            if kind != "reasoning" and led_by and f"rs_{led_by}" not in ids:
                # <https://github.com/cline/cline/issues/12242>
                yield Refusal(
                    f"Item '{identifier}' of type '{kind}' was provided without its required "
                    f"'reasoning' item: 'rs_{led_by}'.",
                    "input",
                )
            ids.add(identifier)
        if kind == "message":
            yield from message_refusals(place, item)
        elif kind == "reasoning":
            yield from reasoning_refusals(place, item, items[index + 1 :])
        elif kind == "function_call":
            for name in ("call_id", "name", "arguments"):
                if not isinstance(item.get(name), str):
                    yield missing(f"{place}.{name}")
            if len(item.get("call_id") or "") > 64:
                yield too_long(f"{place}.call_id", item["call_id"], 64)
            yield from name_refusals(f"{place}.name", item.get("name"))
            calls[item.get("call_id")] = place
        else:
            call = item.get("call_id")
            if call not in calls:
                message = f"No tool call found for function call output with call_id {call}."
                yield Refusal(message, "input")
            answered.add(call)
            if isinstance(item.get("output"), list):
                yield from part_refusals(f"{place}.output", item["output"], INPUT_PARTS)
            elif not isinstance(item.get("output"), str):
                yield missing(f"{place}.output")
    for call in calls:
        if call not in answered:
            yield Refusal(f"No tool output found for function call {call}.", "input")


def message_refusals(place, item):
    role, content = item.get("role"), item.get("content")
    if role not in ("user", "assistant", "system", "developer"):
        supported = ["assistant", "system", "developer", "user"]
        yield invalid(f"{place}.role", role, supported)
    if isinstance(content, list):
        known = OUTPUT_PARTS if role == "assistant" else INPUT_PARTS
        yield from part_refusals(f"{place}.content", content, known)
    elif not isinstance(content, str):
        yield missing(f"{place}.content")


def part_refusals(place, parts, known):
    for index, part in enumerate(parts):
        kind = part.get("type")
        if kind not in known:
            yield invalid(f"{place}[{index}].type", kind, known)
            continue
        for name in sorted(set(part) - PART_FIELDS[kind]):
            yield unknown(f"{place}[{index}].{name}")
        if kind.endswith("_text") and not isinstance(part.get("text"), str):
            yield missing(f"{place}[{index}].text")
        if kind == "input_image" and not re.match(
            r"data:image/|https?://", part.get("image_url") or ""
        ):
            yield Refusal(
                f"Invalid '{place}[{index}].image_url'. Expected a valid URL, but got a value with an "
                "invalid format.",
                f"{place}[{index}].image_url",
                "invalid_value",
            )


def reasoning_refusals(place, item, following):
    """An item of reasoning comes back as it was given out, and with what it led to."""
    identifier = item.get("id") or ""
    if not isinstance(item.get("summary"), list):
        yield missing(f"{place}.summary")
    sealed = item.get("encrypted_content")
    if not sealed:
        yield Refusal(
            f"Item with id '{identifier}' not found. Items are not persisted when `store` is set to "
            "false. Try again with `store` set to true, or remove this item from your input.",
            "input",
            status=404,
        )
    else:
        given = unseal(sealed)
        if given is None:
            reason = "Encrypted content could not be decrypted or parsed."
        elif identifier and given["id"] != identifier:
            reason = "Encrypted content item_id did not match the target item id."
        elif item.get("summary") not in ([], given["summary"]):
            reason = "Encrypted content summary did not match."
        else:
            reason = None
        if reason:
            yield Refusal(
                f"The encrypted content for item {identifier} could not be verified. Reason: {reason}",
                None,
                "invalid_encrypted_content",
            )
    next_kind = next((i.get("type", "message") for i in following), None)
    by_model = next_kind in ("function_call", "reasoning") or (
        next_kind == "message" and following[0].get("role") == "assistant"
    )
    if not by_model:
        yield Refusal(
            f"Item '{identifier}' of type 'reasoning' was provided without its required following "
            "item.",
            "input",
        )


def unwise(body):
    """Yields what the service takes, but not as it was meant."""
    if body.get("store") is not False:
        yield "without store: false the conversation is kept by the service"
    for tool in body.get("tools") or []:
        if tool.get("type") == "function" and "strict" not in tool:
            # <https://developers.openai.com/api/docs/guides/function-calling>
            yield f"tool {tool.get('name')!r}: without strict, optional properties become required"

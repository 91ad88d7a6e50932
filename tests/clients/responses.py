"""The Responses API as a server sees it: its requests in another form, and answers made of a `Step`.

Follows <https://platform.openai.com/docs/api-reference/responses> and its streaming page. Nothing is
remembered: a reasoning item carries in `encrypted_content` all that is needed to tell, when it comes
back, whether it is as it was given out. What is refused is in `responses_rules`.
"""

import base64
import binascii
import itertools
import json

import searches
from script import CREATED, Step, pieces

# --- Reasoning that is sealed --------------------------------------------------------------------

SEAL = "gAAAAAB"


def seal(identifier, summary):
    given = json.dumps({"id": identifier, "summary": summary}, ensure_ascii=False)
    return SEAL + base64.urlsafe_b64encode(given.encode()).decode()


def unseal(sealed):
    try:
        given = json.loads(base64.urlsafe_b64decode(sealed.removeprefix(SEAL).encode()))
    except (binascii.Error, UnicodeError, ValueError):
        return None
    return given if sealed.startswith(SEAL) and isinstance(given, dict) else None


# --- The request in the form of chat completions -------------------------------------------------


def chat_form(body):
    """The same request as chat completions would have it, for readers who know that form.

    What one assistant turn is in several items becomes one message; reasoning is left out, since
    chat completions has no place for it.
    """
    chat = {name: body[name] for name in SAME if name in body}
    chat["messages"] = chat_messages(body)
    if "max_output_tokens" in body:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    if body.get("stream"):
        # Usage comes unasked.
        chat["stream_options"] = {"include_usage": True}
    if (body.get("reasoning") or {}).get("effort"):
        chat["reasoning_effort"] = body["reasoning"]["effort"]
    tools = [tool for tool in body.get("tools") or [] if tool.get("type") == "function"]
    if tools:
        chat["tools"] = [
            {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
            for tool in tools
        ]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif choice is not None:
        chat["tool_choice"] = choice
    form = (body.get("text") or {}).get("format")
    if form and form.get("type") == "json_schema":
        inner = {name: value for name, value in form.items() if name != "type"}
        chat["response_format"] = {"type": "json_schema", "json_schema": inner}
    elif form:
        chat["response_format"] = form
    return chat


SAME = ["model", "stream", "temperature", "top_p", "parallel_tool_calls", "store", "user"]


def chat_messages(body):
    messages, pictures = [], []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    items = body.get("input") or []
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call_output":
            text, shown = output_content(item.get("output"))
            pictures += shown
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": text})
            continue
        if pictures:
            # Only a user shows pictures there.
            messages.append({"role": "user", "content": pictures})
            pictures = []
        if kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            assistant_turn(messages).setdefault("tool_calls", []).append(call)
        elif kind == "message" and item.get("role") == "assistant":
            turn = assistant_turn(messages)
            turn["content"] = (turn["content"] or "") + plain_text(item.get("content"))
        elif kind == "message":
            messages.append(
                {"role": item.get("role"), "content": chat_content(item.get("content"))}
            )
    if pictures:
        messages.append({"role": "user", "content": pictures})
    return merge_pictures(messages)


def assistant_turn(messages):
    """The assistant message that is being put together."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def merge_pictures(messages):
    """Joins the pictures of results with what the user says after them."""
    merged = []
    for message in messages:
        before = merged[-1] if merged else None
        if (
            before
            and before["role"] == message["role"] == "user"
            and isinstance(before["content"], list)
        ):
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            before["content"] = before["content"] + parts
        else:
            merged.append(message)
    return merged


def output_content(output):
    if not isinstance(output, list):
        return output, []
    parts = chat_content(output)
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return "\n\n".join(texts) or "See below.", [p for p in parts if p["type"] != "text"]


def chat_content(content):
    if not isinstance(content, list):
        return content
    parts = []
    for part in content:
        kind = part.get("type")
        if kind == "input_image":
            parts.append({"type": "image_url", "image_url": {"url": part.get("image_url")}})
        elif kind == "input_file":
            names = ("file_data", "filename", "file_url", "file_id")
            parts.append({"type": "file", "file": {n: part[n] for n in names if n in part}})
        else:
            parts.append({"type": "text", "text": part.get("text")})
    return parts


def plain_text(content):
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or part.get("refusal") or "" for part in content or [])


# --- Answers -------------------------------------------------------------------------------------

_numbers = itertools.count(1)


def new_id(prefix):
    return f"{prefix}_{next(_numbers):024x}"


def whole(body, step):
    response = envelope(body, step)
    return response | ending(step) | {"output": output_items(body, step)}


def envelope(body, step):
    """The response without its end."""
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body["model"],
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": None, **(body.get("reasoning") or {})},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }


# What chat completions calls a finish reason.
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def ending(step):
    end = {"status": "completed", "usage": usage(step)}
    if step.finish_reason in INCOMPLETE:
        end["status"] = "incomplete"
        end["incomplete_details"] = {"reason": INCOMPLETE[step.finish_reason]}
    return end


def usage(step):
    if step.usage is None:
        return None
    prompt, answer, cached = step.usage
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": answer,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + answer,
    }


def output_items(body, step):
    """The items of an answer: what was thought, what is said, what is called."""
    items, led_by = [], ""
    if step.reasoning:
        items.append(reasoning_item(body, step))
        # So that the reader sees from the id alone which reasoning an item needs.
        led_by = items[0]["id"].replace("rs_", "_of_")
    is_search = searches.is_asked("responses", body)
    if is_search:
        items.append(searches.item(body))
    # With `finish_reason` an empty answer may be meant; without one, a message stands for it.
    if step.text or not (step.tools or step.reasoning):
        cited = searches.annotations() if is_search else []
        part = {"type": "output_text", "text": step.text, "annotations": cited, "logprobs": []}
        items.append(
            {
                "id": new_id("msg") + led_by,
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [part],
            }
        )
    for index, (name, arguments) in enumerate(step.tools):
        call_id = f"call_{index}" if step.tool_style == "same_ids" else new_id("call")
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
        items.append(
            {
                "id": new_id("fc") + led_by,
                "type": "function_call",
                "status": "completed",
                "arguments": raw,
                "call_id": call_id,
                "name": name,
            }
        )
    return items


def reasoning_item(body, step):
    """A summary is only given if it was asked for, and so is what makes the item usable later."""
    identifier, summary = new_id("rs"), []
    if (body.get("reasoning") or {}).get("summary"):
        paragraphs = step.reasoning.split("\n\n")
        summary = [{"type": "summary_text", "text": paragraph} for paragraph in paragraphs]
    item = {"id": identifier, "type": "reasoning", "summary": summary}
    if "reasoning.encrypted_content" in (body.get("include") or []):
        item["encrypted_content"] = seal(identifier, summary)
    return item


def events(body, step):
    """Yields the events of a streamed answer, numbered."""
    for number, event in enumerate(plain_events(body, step)):
        yield event | {"sequence_number": number}


def plain_events(body, step):
    response = envelope(body, step)
    yield {"type": "response.created", "response": response}
    yield {"type": "response.in_progress", "response": response}
    items = output_items(body, step)
    rows = [list(item_events(index, item, step)) for index, item in enumerate(items)]
    if step.tool_style == "interleaved":
        first_call = len(items) - len(step.tools)
        for row in rows[:first_call]:
            yield from row
        for column in itertools.zip_longest(*rows[first_call:]):
            yield from (event for event in column if event)
    else:
        for row in rows:
            yield from row
    response = response | ending(step) | {"output": items}
    yield {"type": f"response.{response['status']}", "response": response}


def item_events(index, item, step):
    place = {"output_index": index}
    if item["type"] == "reasoning":
        # What is sealed covers the whole, so it comes with the end.
        begun = {"id": item["id"], "type": "reasoning", "summary": []}
        details = summary_events(item)
    elif item["type"] == "message":
        begun = item | {"status": "in_progress", "content": []}
        details = text_events(item)
    elif item["type"] == "web_search_call":
        begun = item | {"status": "in_progress", "action": None}
        details = [{"type": f"response.web_search_call.{state}"} for state in SEARCH_STATES]
    else:
        begun = item | {"status": "in_progress", "arguments": ""}
        details = argument_events(item, step)
    yield {"type": "response.output_item.added", **place, "item": begun}
    for event in details:
        yield {"item_id": item["id"], **place, **event}
    yield {"type": "response.output_item.done", **place, "item": item}


SEARCH_STATES = ["in_progress", "searching", "completed"]


def summary_events(item):
    for index, part in enumerate(item["summary"]):
        place = {"summary_index": index}
        start = "response.reasoning_summary"
        empty = part | {"text": ""}
        yield {"type": f"{start}_part.added", **place, "part": empty}
        for piece in pieces(part["text"], 5):
            yield {"type": f"{start}_text.delta", **place, "delta": piece, "obfuscation": "Ab"}
        yield {"type": f"{start}_text.done", **place, "text": part["text"]}
        yield {"type": f"{start}_part.done", **place, "part": part}


def text_events(item):
    for index, part in enumerate(item["content"]):
        place = {"content_index": index}
        yield {"type": "response.content_part.added", **place, "part": part | {"text": ""}}
        for piece in pieces(part["text"], 5):
            delta = {"delta": piece, "logprobs": [], "obfuscation": "Ab"}
            yield {"type": "response.output_text.delta", **place, **delta}
        for number, annotation in enumerate(part["annotations"]):
            added = {"annotation_index": number, "annotation": annotation}
            yield {"type": "response.output_text.annotation.added", **place, **added}
        done = {"text": part["text"], "logprobs": []}
        yield {"type": "response.output_text.done", **place, **done}
        yield {"type": "response.content_part.done", **place, "part": part}


def argument_events(item, step):
    # The name and the call's id stand in the item alone.
    start, arguments = "response.function_call_arguments", item["arguments"]
    size = 3 if step.tool_style in ("pieces", "interleaved", "same_ids") else len(arguments) or 1
    for piece in pieces(arguments, size):
        yield {"type": f"{start}.delta", "delta": piece, "obfuscation": "Ab"}
    yield {"type": f"{start}.done", "arguments": arguments, "name": item["name"]}


def failed_event(body, message, number, code="server_error"):
    """What a stream may end with when the server fails in the middle of it.

    Or an event `error`, whose fields were seen inside an object `error`, other than in the reference:
    <https://github.com/openai/codex/issues/8145>.
    """
    response = envelope(body, Step()) | {"status": "failed"}
    response["error"] = {"code": code, "message": message}
    return {"type": "response.failed", "response": response, "sequence_number": number}

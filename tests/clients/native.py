"""The Messages API where a provider has one of its own: what it refuses, and answers made of a `Step`.

Follows <https://platform.claude.com/docs/en/api/messages>.
"""

import itertools
import json

import searches
from rules import said, sign, signed
from script import Refusal, pieces

# --- What is refused: rules take the headers and the body ----------------------------------------

FIELDS = set(
    """
    cache_control container context_management fallbacks inference_geo max_tokens mcp_servers messages
    metadata model output_config output_format safeguards service_tier speed stop_sequences stream system
    temperature thinking tool_choice tools top_k top_p
    """.split()
)


def error(refusal, request_id="req_1"):
    inner = {"type": refusal.type, "message": refusal.message}
    return {"type": "error", "error": inner, "request_id": request_id}


def well_formed(headers, body):
    """What every such place asks for."""
    for name in ("model", "max_tokens", "messages"):
        if not body.get(name):
            yield Refusal(f"{name}: Field required")
    if type(body.get("max_tokens", 1)) is not int:
        yield Refusal("max_tokens: Input should be a valid integer")


def known_fields(headers, body):
    """https://github.com/Wei-Shaw/claude-relay-service/issues/660"""
    for name in sorted(set(body) - FIELDS):
        yield Refusal(f"{name}: Extra inputs are not permitted")
    if "anthropic-version" not in headers:
        yield Refusal("anthropic-version: header is required")


def betas_are_named(headers, body):
    """A field of a beta comes with its header: https://github.com/caozhiyuan/copilot-api/issues/145"""
    if "context_management" in body and "context-management" not in headers.get(
        "anthropic-beta", ""
    ):
        yield Refusal("context_management: Extra inputs are not permitted")


def blocks(body, role):
    for index, message in enumerate(body.get("messages") or []):
        content = message.get("content")
        if message.get("role") == role and isinstance(content, list):
            yield index, content


def thinking_is_signed(headers, body):
    """A thinking block comes back as it was given out."""
    for index, content in blocks(body, "assistant"):
        for position, block in enumerate(content):
            if block.get("type") != "thinking":
                continue
            if signed("thinking", block.get("signature")) != [block.get("thinking")]:
                place = f"messages.{index}.content.{position}"
                yield Refusal(f"{place}: Invalid `signature` in `thinking` block")


def thinking_beside_calls(refusal):
    """A message with calls brings the thinking that led to them."""

    def rule(headers, body):
        if (body.get("thinking") or {}).get("type") == "disabled":
            return
        for index, content in blocks(body, "assistant"):
            kinds = [block.get("type") for block in content]
            if "tool_use" in kinds and "thinking" not in kinds:
                yield said(refusal, index=index)

    return rule


def results_first(headers, body):
    """https://api-docs.deepseek.com/zh-cn/api/create-message"""
    for index, content in blocks(body, "user"):
        kinds = [block.get("type") == "tool_result" for block in content]
        if kinds != sorted(kinds, reverse=True):
            yield Refusal(f"messages[{index}]: tool_result blocks must come first")


def calls_are_answered(headers, body):
    messages = body.get("messages") or []
    for index, content in blocks(body, "assistant"):
        calls = {block["id"] for block in content if block.get("type") == "tool_use"}
        after = next((m for m in messages[index + 1 :] if m.get("role") == "user"), {})
        results = after.get("content") if isinstance(after.get("content"), list) else []
        calls -= {block.get("tool_use_id") for block in results}
        if calls:
            yield Refusal(
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately "
                f"after: {', '.join(sorted(calls))}."
            )


def base64_images(headers, body):
    """https://github.com/ollama/ollama/blob/main/anthropic/anthropic.go"""
    for _, content in blocks(body, "user"):
        for block in content:
            kind = (block.get("source") or {}).get("type")
            if block.get("type") == "image" and kind != "base64":
                yield Refusal(
                    f"invalid image source type: {kind}. Only base64 images are supported."
                )


VLLM_BLOCKS = "text image tool_use tool_result tool_reference thinking redacted_thinking".split()


def vllm_blocks(headers, body):
    """https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/anthropic/protocol.py"""
    for role in ("user", "assistant"):
        for index, content in blocks(body, role):
            for position, block in enumerate(content):
                if block.get("type") not in VLLM_BLOCKS:
                    yield Refusal(
                        f"messages.{index}.content.{position}.type: Input should be one of {VLLM_BLOCKS}",
                        type="BadRequestError",
                    )


def tools_have_schemas(headers, body):
    for index, tool in enumerate(body.get("tools") or []):
        if not isinstance(tool.get("input_schema"), dict):
            yield Refusal(f"tools.{index}.input_schema: Field required", type="BadRequestError")


# --- Answers -------------------------------------------------------------------------------------

_numbers = itertools.count(1)

STOP_REASONS = {
    "length": "max_tokens",
    "content_filter": "refusal",
}


def content_blocks(body, step, search):
    blocks = searches.blocks() if searches.is_asked(search, body) else []
    if step.reasoning:
        signature = sign("thinking", step.reasoning)
        blocks.append({"type": "thinking", "thinking": step.reasoning, "signature": signature})
    if step.text:
        blocks.append({"type": "text", "text": step.text})
    for name, arguments in step.tools:
        identifier = f"toolu_{next(_numbers):024x}"
        value = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
        blocks.append({"type": "tool_use", "id": identifier, "name": name, "input": value})
    return blocks


def usage(step):
    prompt, answer, cached = step.usage or (0, 0, 0)
    return {
        "input_tokens": prompt - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": answer,
    }


def whole(body, step, search=""):
    stop_reason = STOP_REASONS.get(step.finish_reason, "tool_use" if step.tools else "end_turn")
    return {
        "id": f"msg_{next(_numbers):024x}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content_blocks(body, step, search),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage(step),
    }


def events(body, step, search=""):
    message = whole(body, step, search)
    begun = message | {"content": [], "stop_reason": None}
    yield {
        "type": "message_start",
        "message": begun | {"usage": usage(step) | {"output_tokens": 1}},
    }
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        empty, deltas = block_deltas(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": usage(step)}
    yield {"type": "message_stop"}


def block_deltas(block):
    """A block as it starts, and what is added to it."""
    if block["type"] == "thinking":
        parts = pieces(block["thinking"], 5)
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in parts]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return block | {"thinking": "", "signature": ""}, deltas
    if block["type"] == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"], 5)]
        return block | {"text": ""}, deltas
    if block["type"] == "web_search_tool_result":
        return block, []
    parts = pieces(json.dumps(block["input"]), 3)
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in parts]
    return block | {"input": {}}, deltas

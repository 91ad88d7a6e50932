"""What providers of chat completions refuse: functions that make a rule, for the files of `dialects`.

A rule reads a request and yields a `Refusal` for everything that it finds. What is said is a `Refusal`
whose texts have names in braces, which the rule fills in.
"""

import base64
import binascii
import json
import re
from dataclasses import replace

from script import Refusal

__all__ = ["Refusal"]


def said(refusal, **facts):
    param = refusal.param and refusal.param.format(**facts)
    return replace(refusal, message=refusal.message.format(**facts), param=param)


def enumerated(values):
    return ", ".join(f"'{value}'" for value in values)


def for_models(prefixes, *rules):
    """The rules, for the models whose names begin like this."""

    def rule(body):
        if str(body.get("model")).startswith(prefixes):
            for inner in rules:
                yield from inner(body)

    return rule


# --- Fields --------------------------------------------------------------------------------------


def known_fields(names, refusal):
    known = set(names.split())

    def rule(body):
        for name in sorted(set(body) - known):
            yield said(refusal, name=name)

    return rule


def unknown_fields(names, refusal):
    unknown = names.split()

    def rule(body):
        for name in unknown:
            if name in body:
                yield said(refusal, name=name)

    return rule


# Of the messages of chat completions, for providers that check them.
MESSAGE_FIELDS = {
    "system": "role content name",
    "developer": "role content name",
    "user": "role content name",
    "assistant": "role content name refusal tool_calls",
    "tool": "role content tool_call_id",
}


def known_message_fields(refusal, known=MESSAGE_FIELDS, **more):
    """`more` are further fields of a role."""

    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            role = message.get("role")
            fields = known.get(role, "").split() + more.get(role, "").split()
            for name in sorted(set(message) - set(fields)):
                yield said(refusal, index=index, role=role, name=name)
            for call in message.get("tool_calls") or []:
                for name in sorted(set(call) - {"id", "type", "function", "index"}):
                    yield said(refusal, index=index, role=role, name=name)

    return rule


def no_message_field(name, refusal):
    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            if name in message:
                yield said(refusal, index=index, role=message.get("role"), name=name)

    return rule


def nowhere(name, refusal):
    """A field that stands nowhere in the request, arguments of calls and schemas left aside."""

    def found(value):
        if isinstance(value, dict):
            return name in value or any(found(v) for k, v in value.items() if k != "parameters")
        return isinstance(value, list) and any(found(item) for item in value)

    def rule(body):
        if found(body):
            yield said(refusal, name=name)

    return rule


def exclusive(one, other, refusal):
    def rule(body):
        if one in body and other in body:
            yield refusal

    return rule


def only_with(name, other, refusal):
    """`name` is only taken beside `other`."""

    def rule(body):
        if name in body and not body.get(other):
            yield said(refusal, name=name)

    return rule


def within(name, low, high, refusal):
    def rule(body):
        value = body.get(name)
        if isinstance(value, (int, float)) and not low <= value <= high:
            yield said(refusal, name=name, value=value, low=low, high=high)

    return rule


def at_most(name, count, refusal):
    """At most so many strings, or tools."""

    def rule(body):
        value = body.get(name)
        if isinstance(value, list) and len(value) > count:
            yield said(refusal, name=name, count=count, seen=len(value))

    return rule


def one_of(name, values, refusal):
    def rule(body):
        if name in body and body[name] not in values:
            listed = enumerated(values)
            yield said(refusal, name=name, value=body[name], values=listed, model=body["model"])

    return rule


def thinking_is_off(body):
    """Whether a model that would think was told not to, in whichever way."""
    kwargs = body.get("chat_template_kwargs") or {}
    reasoning = body.get("reasoning") or {}
    return (
        (body.get("thinking") or {}).get("type") == "disabled"
        or body.get("enable_thinking") is False
        or body.get("disable_reasoning") is True
        or body.get("reasoning_effort") == "none"
        or reasoning.get("effort") == "none"
        or reasoning.get("enabled") is False
        or False in (kwargs.get("enable_thinking"), kwargs.get("thinking"))
    )


def while_thinking(*rules):
    def rule(body):
        if not thinking_is_off(body):
            for inner in rules:
                yield from inner(body)

    return rule


def response_formats(kinds, refusal):
    def rule(body):
        kind = (body.get("response_format") or {}).get("type", "text")
        if kind not in kinds:
            yield said(refusal, kind=kind)

    return rule


# --- Tools ---------------------------------------------------------------------------------------


def tools_of(body):
    """Index and function of each tool."""
    for index, tool in enumerate(body.get("tools") or []):
        yield index, tool.get("function") or {}


def no_empty_tools(refusal):
    def rule(body):
        if body.get("tools") == []:
            yield refusal

    return rule


def tool_names(pattern, refusal):
    """The names of tools, and of the calls in the history."""

    def rule(body):
        for index, function in tools_of(body):
            if not re.fullmatch(pattern, str(function.get("name"))):
                yield said(refusal, index=index, name=function.get("name"))
        for index, call in calls_of(body):
            name = (call.get("function") or {}).get("name")
            if not re.fullmatch(pattern, str(name)):
                yield said(refusal, index=index, name=name)

    return rule


def tool_has(name, refusal):
    def rule(body):
        for index, function in tools_of(body):
            if not function.get(name):
                yield said(refusal, index=index, name=name)

    return rule


def known_tool_fields(refusal):
    def rule(body):
        for index, tool in enumerate(body.get("tools") or []):
            function = tool.get("function") or {}
            unknown = set(tool) - {"type", "function"}
            unknown |= set(function) - {"name", "description", "parameters", "strict"}
            for name in sorted(unknown):
                yield said(refusal, index=index, name=name)

    return rule


def tool_choices(words, named, refusal):
    """The words that are taken, and whether a tool may be named."""

    def rule(body):
        choice = body.get("tool_choice", "auto")
        if not (named if isinstance(choice, dict) else choice in words):
            kind = "object" if isinstance(choice, dict) else choice
            yield said(refusal, choice=kind)

    return rule


def named_tool_exists(refusal):
    def rule(body):
        choice = body.get("tool_choice")
        if isinstance(choice, dict):
            name = (choice.get("function") or {}).get("name")
            if name not in [function.get("name") for _, function in tools_of(body)]:
                yield said(refusal, name=name)

    return rule


def schemas(schema):
    """Every schema inside a schema, itself the first. Names of properties are no keywords."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key, value in schema.items():
        if key in ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"):
            inner = value.values() if isinstance(value, dict) else []
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            inner = value if isinstance(value, list) else []
        elif key in ("items", "additionalProperties", "not", "if", "then", "else", "contains"):
            inner = value if isinstance(value, list) else [value]
        elif key == "propertyNames":
            inner = [value]
        else:
            continue
        for schema in inner:
            yield from schemas(schema)


def tool_schemas(wrong, refusal):
    """`wrong` tells of one schema what is wrong with it, or nothing."""

    def rule(body):
        for index, function in tools_of(body):
            for schema in schemas(function.get("parameters")):
                what = wrong(schema)
                if what:
                    yield said(refusal, index=index, tool=function.get("name"), what=what)
                    break

    return rule


def response_schema(wrong, refusal):
    """The same for the schema of the answer."""

    def rule(body):
        inner = (body.get("response_format") or {}).get("json_schema") or {}
        for schema in schemas(inner.get("schema")):
            what = wrong(schema)
            if what:
                yield said(refusal, what=what)
                return

    return rule


def has_keyword(keywords):
    words = keywords.split()

    def wrong(schema):
        return next((word for word in words if word in schema), None)

    return wrong


# --- Messages ------------------------------------------------------------------------------------


def calls_of(body):
    """Index of the message and call, for every tool call of the history."""
    for index, message in enumerate(body.get("messages") or []):
        for call in message.get("tool_calls") or []:
            yield index, call


def call_ids(pattern, refusal):
    """The ids of calls and of their results."""

    def rule(body):
        found = [call.get("id") for _, call in calls_of(body)]
        found += [m.get("tool_call_id") for m in body.get("messages") or [] if m["role"] == "tool"]
        for identifier in found:
            if not re.fullmatch(pattern, str(identifier)):
                yield said(refusal, id=identifier)

    return rule


def unique_call_ids(refusal):
    def rule(body):
        found = [call.get("id") for _, call in calls_of(body)]
        for identifier in sorted({i for i in found if found.count(i) > 1}):
            yield said(refusal, id=identifier)

    return rule


def arguments_are_objects(refusal):
    def rule(body):
        for index, call in calls_of(body):
            try:
                is_object = isinstance(json.loads(call["function"]["arguments"]), dict)
            except (KeyError, TypeError, ValueError):
                is_object = False
            if not is_object:
                yield said(refusal, index=index)

    return rule


def calls_are_answered(unanswered, orphan):
    """The results of a message's calls come right after it, and no others do."""

    def rule(body):
        waiting = []
        for index, message in enumerate(body.get("messages") or []):
            if message.get("role") == "tool":
                if message.get("tool_call_id") in waiting:
                    waiting.remove(message["tool_call_id"])
                else:
                    yield said(orphan, index=index, id=message.get("tool_call_id"))
                continue
            if waiting:
                yield said(unanswered, index=index, ids=", ".join(map(str, waiting)))
            waiting = [call.get("id") for call in message.get("tool_calls") or []]
        if waiting:
            index = len(body["messages"])
            yield said(unanswered, index=index, ids=", ".join(map(str, waiting)))

    return rule


def never_after(role, before, refusal):
    """A message of `role` does not come directly after one of `before`."""

    def rule(body):
        roles = [message.get("role") for message in body.get("messages") or []]
        if (before, role) in zip(roles, roles[1:], strict=False):
            yield said(refusal, role=role, before=before)

    return rule


def last_role(roles, refusal):
    def rule(body):
        last = (body.get("messages") or [{}])[-1]
        if last.get("role") not in roles and not last.get("prefix"):
            yield said(refusal, role=last.get("role"))

    return rule


def roles(known, refusal):
    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            if message.get("role") not in known.split():
                yield said(refusal, index=index, role=message.get("role"))

    return rule


def needs_role(role, refusal):
    def rule(body):
        if role not in [message.get("role") for message in body.get("messages") or []]:
            yield refusal

    return rule


def system_first(refusal):
    """Templates of models take one system message, at the beginning."""

    def rule(body):
        rest = (body.get("messages") or [])[1:]
        if any(message.get("role") in ("system", "developer") for message in rest):
            yield refusal

    return rule


def content_present(refusal):
    """The key is there, if only with null."""

    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            if "content" not in message:
                yield said(refusal, index=index)

    return rule


def content_not_null(refusal):
    """Content may be null or absent only beside calls."""

    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            if message.get("content") is None and not message.get("tool_calls"):
                yield said(refusal, index=index, role=message.get("role"))

    return rule


def text_content(of_roles, refusal):
    """Messages of these roles have a string as their content."""

    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            if message.get("role") in of_roles and isinstance(message.get("content"), list):
                yield said(refusal, index=index, role=message["role"])

    return rule


def part_types(refusal, **known):
    """The types of parts that a role may have; text is the only one of the others."""

    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            content = message.get("content")
            for part in content if isinstance(content, list) else []:
                kinds = known.get(message.get("role"), "text").split()
                if part.get("type") not in kinds:
                    yield said(
                        refusal, index=index, role=message.get("role"), kind=part.get("type")
                    )

    return rule


def image_urls(pattern, refusal):
    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            content = message.get("content")
            for part in content if isinstance(content, list) else []:
                image = part.get("image_url")
                url = image.get("url") if isinstance(image, dict) else image
                if part.get("type") == "image_url" and not re.match(pattern, str(url)):
                    yield said(refusal, index=index)

    return rule


def texts_not_empty(refusal):
    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            content = message.get("content")
            parts = content if isinstance(content, list) else []
            empty = [part for part in parts if part.get("type") == "text" and not part.get("text")]
            if content in ("", []) and not message.get("tool_calls") or empty:
                yield said(refusal, index=index, role=message.get("role"))

    return rule


# --- Reasoning that comes back -------------------------------------------------------------------


def reasoning_beside_calls(name, refusal):
    """An assistant message with calls brings the reasoning that led to them."""

    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            if message.get("tool_calls") and not isinstance(message.get(name), str):
                yield said(refusal, index=index)

    return rule


def sign(kind, *covered):
    """A signature that shows by itself what it covers."""
    given = json.dumps([kind, *covered], sort_keys=True, ensure_ascii=False)
    return base64.b64encode(given.encode()).decode()


def signed(kind, signature):
    """What a signature covers, or None if it is not ours."""
    try:
        given = json.loads(base64.b64decode(signature, validate=True))
    except (binascii.Error, TypeError, UnicodeError, ValueError):
        return None
    return given[1:] if isinstance(given, list) and given[:1] == [kind] else None


def parsed(arguments):
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


# Taken in place of a signature: <https://ai.google.dev/gemini-api/docs/thought-signatures#faqs>
DUMMY_SIGNATURES = ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"]


def thought_signatures(missing, wrong):
    """The first call of each message since the last one of the user is signed; any signature is right.

    A client may have added arguments that it filled in itself.
    """

    def rule(body):
        messages = body.get("messages") or []
        users = [index for index, message in enumerate(messages) if message.get("role") == "user"]
        for index, message in enumerate(messages):
            for position, call in enumerate(message.get("tool_calls") or []):
                google = (call.get("extra_content") or {}).get("google") or {}
                signature, function = google.get("thought_signature"), call.get("function") or {}
                arguments = parsed(function.get("arguments"))
                if signature is None:
                    if position == 0 and index > max(users, default=0):
                        yield said(missing, index=index, name=function.get("name"))
                elif signature not in DUMMY_SIGNATURES:
                    name, given = signed("thought", signature) or ("", {})
                    if name != function.get("name") or {**arguments, **given} != arguments:
                        yield said(wrong, index=index, name=function.get("name"))

    return rule


def reasoning_details(refusal):
    """Details that come back are those that were given out, the pieces of a stream joined."""

    def rule(body):
        for index, message in enumerate(body.get("messages") or []):
            calls = [call.get("id") for call in message.get("tool_calls") or []]
            for detail in message.get("reasoning_details") or []:
                kind, identifier = detail.get("type"), detail.get("id")
                if kind == "reasoning.text":
                    right = signed("text", detail.get("signature")) == [detail.get("text")]
                elif detail.get("format") == "google-gemini-v1" and kind == "reasoning.encrypted":
                    # https://github.com/UKGovernmentBEIS/inspect_ai/issues/3986
                    right = signed("encrypted", detail.get("data")) and identifier in calls
                elif kind == "reasoning.encrypted":
                    right = signed("encrypted", detail.get("data")) == [identifier]
                else:
                    right = kind == "reasoning.summary" and bool(detail.get("summary"))
                if not right:
                    yield said(refusal, index=index)

    return rule

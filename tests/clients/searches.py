"""How providers search the web by themselves: how each is told to, and where it tells what it found.

A row names its form in `Dialect.search`; whether a request asks for a search in another one's form is
seen by the row's own rules.
"""

PAGE = {"title": "A page", "url": "https://found.example/page"}
DATE = "2026-11-28"


def is_search_tool(tool):
    return str(tool.get("type")).startswith("web_search")


def is_asked(form, body):
    """Whether a request asks for a search in this form."""
    tools = body.get("tools") or []
    if form == "plugin":
        return any(plugin.get("id") == "web" for plugin in body.get("plugins") or [])
    if form == "compound":
        enabled = (body.get("compound_custom") or {}).get("tools") or {}
        named = "web_search" in enabled.get("enabled_tools", [])
        return named and body["model"] == "groq/compound"
    if form == "enable":
        return body.get("enable_search") is True
    if form == "options":
        return "web_search_options" in body
    if form in ("tool", "responses", "native"):
        return any(is_search_tool(tool) for tool in tools)
    return False


def without(body):
    """The request without the tool that is none of the client's, for rules about those."""
    tools = [tool for tool in body.get("tools") or [] if not is_search_tool(tool)]
    kept = {name: value for name, value in body.items() if name != "tools"}
    return kept | ({"tools": tools} if tools else {})


def in_message(form, body):
    """What stands in the message of chat completions, or in the last piece of a stream."""
    if form == "plugin" and is_asked(form, body):
        cited = PAGE | {"content": "What stands there.", "start_index": 0, "end_index": 1}
        return {"annotations": [{"type": "url_citation", "url_citation": cited}]}
    if form == "compound" and is_asked(form, body):
        results = {"results": [PAGE | {"content": "What stands there.", "score": 0.9}]}
        tool = {"index": 0, "type": "search", "arguments": "{}", "search_results": results}
        return {"executed_tools": [tool]}
    return {}


def beside_choices(form, body):
    """What stands beside the choices."""
    if form == "tool" and is_asked(form, body):
        found = {"title": PAGE["title"], "link": PAGE["url"], "publish_date": DATE, "refer": "ref_1"}
        return {"web_search": [found]}
    return {}


def item(body):
    """The search as an item of the Responses API's output."""
    action = {"type": "search", "query": "what was asked"}
    if "web_search_call.action.sources" in (body.get("include") or []):
        action["sources"] = [{"type": "url", "url": PAGE["url"]}]
    return {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": action}


def annotations():
    """What a text of the Responses API refers to."""
    return [PAGE | {"type": "url_citation", "start_index": 0, "end_index": 1}]


def blocks():
    """The same in the Messages API."""
    call = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search"}
    result = PAGE | {"type": "web_search_result", "encrypted_content": "EqgB", "page_age": DATE}
    return [
        call | {"input": {"query": "what was asked"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [result]},
    ]

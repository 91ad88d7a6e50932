"""pydantic-ai, which asks for structured output by a tool that must be called.

Prints one JSON object for each check: `name`, `ok` and `detail`.
"""

import asyncio
import json
import os
from typing import Annotated, Literal

from anthropic import AsyncAnthropic
from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider


class Order(BaseModel):
    """What only a schema's limits tell how to fill in."""

    number: Annotated[int, Field(ge=7, multiple_of=5)]
    kind: Literal["tea", "coffee"]
    cups: Annotated[list[Annotated[str, Field(pattern="^[A-Z]{2}$")]], Field(min_length=2)]
    share: Annotated[float, Field(gt=0, lt=1)]
    note: str | None
    inner: "Order | None" = None


class Drink(BaseModel):
    """Without limits, which Anthropic's SDK takes out of a schema that is not a tool's."""

    kind: Literal["tea", "coffee"]
    cups: list[str]
    hot: bool


def check(name, ok, detail=""):
    print(json.dumps({"name": name, "ok": bool(ok), "detail": str(detail)}), flush=True)


async def main():
    client = AsyncAnthropic(base_url=os.environ["ANTHROPIC_BASE_URL"], api_key="any")
    model = AnthropicModel("claude-haiku-4-5", provider=AnthropicProvider(anthropic_client=client))
    agent = Agent(model)

    first = await agent.run("Hello there")
    check("run", first.output.startswith("You said: Hello there"), first.output)
    check("usage", first.usage.input_tokens > 0 and first.usage.output_tokens > 0, first.usage)
    second = await agent.run("Once more", message_history=first.all_messages())
    check("run with history", second.output == "You said: Once more", second.output)

    async with agent.run_stream("Hello there") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    text = "".join(pieces)
    check("stream", text.startswith("You said: Hello there") and len(pieces) > 5, pieces)

    helper, seen = Agent(model), []

    @helper.tool_plain
    def add(a: int, b: int) -> int:
        seen.append((a, b))
        return a + b

    summed = await helper.run('[[tool:add {"a": 2, "b": 3}]] [[tool:add {"a": 4, "b": 5}]]')
    check("tools", sorted(seen) == [(2, 3), (4, 5)], seen)
    check("tools' results", summed.output.startswith("The tool said: "), summed.output)

    for name, output in [("tool", Order), ("native", NativeOutput(Drink))]:
        filled = await Agent(model, output_type=output).run("An order")
        right = isinstance(filled.output, (Order, Drink))
        check(f"structured output, {name}", right, filled.output)

    chooser = Agent(model, output_type=Order)
    chooser.tool_plain(add)
    chosen = await chooser.run("An order")
    check("structured output beside a tool", isinstance(chosen.output, Order), chosen.output)

    try:
        refused = await agent.run("[[status:400]]")
        check("refusal", False, refused.output)
    except ModelHTTPError as error:
        check("refusal", error.status_code == 400, error)


asyncio.run(main())

// The AI SDK of Vercel. Prints one JSON object for each check: `name`, `ok` and `detail`.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.PACKAGES}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { generateObject, generateText, stepCountIs, streamText, tool } = await load("ai");
const { z } = await load("zod");

const check = (name, ok, detail = "") =>
  console.log(JSON.stringify({ name, ok: Boolean(ok), detail: JSON.stringify(detail) ?? "" }));

const anthropic = createAnthropic({ baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1`, apiKey: "any" });
const model = anthropic("claude-haiku-4-5");

const whole = await generateText({ model, prompt: "Hello there" });
check("generateText", whole.text.startsWith("You said: Hello there"), whole.text);
check("generateText: usage", whole.usage.inputTokens > 0 && whole.usage.outputTokens > 0, whole.usage);
check("generateText: finish reason", whole.finishReason === "stop", whole.finishReason);

const stream = streamText({ model, prompt: "Hello there" });
const pieces = [];
for await (const piece of stream.textStream) pieces.push(piece);
const text = pieces.join("");
check("streamText", text.startsWith("You said: Hello there") && pieces.length > 5, pieces);
check("streamText: finish reason", (await stream.finishReason) === "stop");

const thinking = streamText({ model, prompt: "[[think:First a thought.]] Then words" });
const reasoning = await thinking.reasoningText;
check("streamText: reasoning", reasoning === "First a thought.", reasoning);

const added = [];
const add = tool({
  description: "Adds",
  inputSchema: z.object({ a: z.number(), b: z.number() }),
  execute: async ({ a, b }) => (added.push([a, b]), a + b),
});
const prompt = '[[tool:add {"a": 2, "b": 3}]]';
const loop = await generateText({ model, tools: { add }, prompt, stopWhen: stepCountIs(3) });
check("tools", JSON.stringify(added) === "[[2,3]]", added);
check("tools: the result is answered", loop.text === "The tool said: 5", loop.text);
const forced = await generateText({ model, tools: { add }, toolChoice: "required", prompt: "Hello" });
// Without limits, which the SDK takes out of a schema that is not a tool's.
const schema = z.object({
  number: z.number().int(),
  kind: z.enum(["tea", "coffee"]),
  cups: z.array(z.string()),
  mail: z.string().email(),
  link: z.string().url().nullable(),
});
const order = tool({
  inputSchema: schema.extend({ cups: z.array(z.string().min(6)).min(2), more: z.number().min(7) }),
});
const named = { type: "tool", toolName: "order" };
const called = await generateText({ model, tools: { add, order }, toolChoice: named, prompt: "Hello" });
const input = called.toolCalls[0]?.input;
check("toolChoice of a named tool", order.inputSchema.safeParse(input).success, input);
check("toolChoice required", forced.toolCalls.length === 1, forced.toolCalls);

const filled = await generateObject({ model, schema, prompt: "An order" });
check("generateObject", schema.safeParse(filled.object).success, filled.object);

const refusal = await generateText({ model, prompt: "[[status:400]]" }).catch((error) => error);
check("refusal", refusal.statusCode === 400, refusal.message);

const leaving = new AbortController();
const slow = streamText({
  model,
  prompt: "[[chunks:2000]] [[delay:20]]",
  abortSignal: leaving.signal,
  onError: () => {},
});
let heard = 0;
try {
  for await (const _ of slow.textStream) if (++heard === 3) leaving.abort();
} catch {
  // Some versions throw where others end.
}
check("an answer is left in its middle", heard >= 3 && heard < 2000, heard);

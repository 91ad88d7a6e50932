// Drives ccproxy with the official TypeScript SDK; started by typescript_sdk.py, which reads the
// checks printed here, one JSON object a line.

import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";

const { CLIENTS_DIR, PROXY_URL, UPSTREAM_URL } = process.env;
const require = createRequire(`${CLIENTS_DIR}/`);
const { default: Anthropic } = require("@anthropic-ai/sdk");
const { betaZodTool } = require("@anthropic-ai/sdk/helpers/beta/zod");
const { zodOutputFormat } = require("@anthropic-ai/sdk/helpers/zod");
const { z } = require("zod");

const UNICODE = "Grüße, 中文 and 😀";
const WEATHER = {
  name: "get_weather",
  description: "The weather of a city.",
  input_schema: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
  },
};
const PARIS = { city: 'Pa"ris \\ é 😀' };
const ROME = { city: "Rome" };
const TWO_CALLS = [
  ["get_weather", PARIS],
  ["get_weather", ROME],
];
const RED_PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

const client = (options) =>
  new Anthropic({ baseURL: PROXY_URL, apiKey: "any", maxRetries: 0, timeout: 30_000, ...options });

// --- Checks and scripts ---------------------------------------------------------------------------

function check(name, ok, detail = "") {
  const seen = typeof detail === "string" ? detail : JSON.stringify(detail);
  console.log(JSON.stringify({ name, ok: Boolean(ok), detail: seen ?? "undefined" }));
}

function equal(name, seen, expected) {
  check(name, isDeepStrictEqual(seen, expected), { seen, expected });
}

/** Checks that the call rejects with an error of this class; returns the error, or `{}`. */
async function raised(name, expected, call) {
  try {
    await call();
  } catch (error) {
    check(name, error instanceof expected, `${error.constructor.name}: ${error.message}`);
    return error;
  }
  check(name, false, "no exception");
  return {};
}

let scripts = 0;

/** A scripted conversation: the request that starts it, and what the upstream received of it. */
function script(...steps) {
  const name = `typescript-${++scripts}`;
  const encoded = Buffer.from(JSON.stringify(steps)).toString("base64");
  const prompt = `Please answer. [[script:${name}:${encoded}]]`;
  return {
    prompt,
    request: (options) => ({
      model: "claude-opus-5-5",
      max_tokens: 1000,
      messages: [{ role: "user", content: prompt }],
      ...options,
    }),
    received: async () => (await fetch(`${UPSTREAM_URL}/received/${name}`)).json(),
  };
}

const create = (step, options) => client().messages.create(script(step).request(options));
const stream = (step, options) =>
  client().messages.stream(script(step).request(options)).finalMessage();

/** The same message must come out of both. */
const WAYS = { create, stream };

const texts = (message) => message.content.filter((b) => b.type === "text").map((b) => b.text);
const inputs = (message) => message.content.filter((b) => b.type === "tool_use").map((b) => b.input);

// --- Cases ----------------------------------------------------------------------------------------

async function text() {
  for (const [way, play] of Object.entries(WAYS)) {
    const message = await play({ text: UNICODE, usage: [100, 9, 40] });
    equal(`${way}: the text`, texts(message), [UNICODE]);
    equal(`${way}: stop_reason`, message.stop_reason, "end_turn");
    const { input_tokens, cache_read_input_tokens, output_tokens } = message.usage;
    equal(`${way}: usage`, [input_tokens, cache_read_input_tokens, output_tokens], [60, 40, 9]);
    equal(`${way}: the model is the requested one`, message.model, "claude-opus-5-5");
  }
  const pieces = [];
  const events = client().messages.stream(script({ text: UNICODE }).request());
  events.on("text", (piece) => pieces.push(piece));
  await events.finalMessage();
  check("the text arrives in several pieces", pieces.length > 1, pieces);
  equal("the pieces are the text", pieces.join(""), UNICODE);
}

async function tools() {
  for (const tool_style of ["pieces", "interleaved", "whole", "together", "no_ids", "same_ids"]) {
    for (const [way, play] of Object.entries(WAYS)) {
      const step = { text: "Let me look.", tools: TWO_CALLS, tool_style };
      const message = await play(step, { tools: [WEATHER] });
      equal(`${way}, ${tool_style}: inputs`, inputs(message), [PARIS, ROME]);
      equal(`${way}, ${tool_style}: stop_reason`, message.stop_reason, "tool_use");
    }
  }
}

async function toolRunner() {
  const tool = betaZodTool({
    name: "get_weather",
    description: "The weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    run: ({ city }) => `Sunny in ${city}.`,
  });
  for (const stream of [false, true]) {
    const way = `toolRunner, stream: ${stream}`;
    const started = script({ text: "Looking.", tools: TWO_CALLS }, { text: "Sunny in both." });
    const runner = client().beta.messages.toolRunner(started.request({ tools: [tool], stream }));
    equal(`${way}: the last answer`, texts(await runner.runUntilDone()), ["Sunny in both."]);
    const received = await started.received();
    equal(`${way}: upstream requests`, received.length, 2);
    const sent = JSON.stringify(received.at(-1)?.body.messages);
    for (const part of [started.prompt, "Looking.", "Sunny in Rome."]) {
      check(`${way}: the conversation is complete`, sent?.includes(part), sent);
    }
  }
}

async function thinking() {
  for (const [way, play] of Object.entries(WAYS)) {
    const message = await play(
      { reasoning: "Let me see.", text: "The answer." },
      { thinking: { type: "adaptive" } },
    );
    equal(`${way}: blocks`, message.content.map((b) => b.type), ["thinking", "text"]);
    equal(`${way}: the thought`, message.content[0].thinking, "Let me see.");
    equal(`${way}: the text is clean`, texts(message), ["The answer."]);
  }
}

async function parse() {
  const person = z.object({ name: z.string(), age: z.number() });
  const started = script({ text: '{"name": "Bob", "age": 3}' });
  const options = { output_config: { format: zodOutputFormat(person) } };
  const message = await client().messages.parse(started.request(options));
  equal("parse() returns the object", message.parsed_output, { name: "Bob", age: 3 });
  const [{ body }] = await started.received();
  equal("a schema is forwarded", body.response_format?.type, "json_schema");
}

async function image() {
  const started = script({ text: "A red pixel." });
  const source = { type: "base64", media_type: "image/png", data: RED_PIXEL };
  const content = [{ type: "text", text: started.prompt }, { type: "image", source }];
  const messages = [{ role: "user", content }];
  const message = await client().messages.create(started.request({ messages }));
  equal("an image is answered", texts(message), ["A red pixel."]);
  const sent = JSON.stringify(await started.received());
  check("it becomes a data URL", sent.includes(`data:image/png;base64,${RED_PIXEL}`), sent);
}

async function otherEndpoints() {
  const messages = [{ role: "user", content: "Hello there" }];
  const model = "claude-opus-5-5";
  const counted = await client().messages.countTokens({ model, messages, tools: [WEATHER] });
  const { input_tokens } = counted;
  check("countTokens", input_tokens > 0 && input_tokens < 300, counted);
  const listed = [];
  for await (const { id } of client().models.list()) listed.push(id);
  check("there is a model", listed.length > 0, listed);
  equal("it is found", (await client().models.retrieve(listed[0])).id, listed[0]);
  await raised("no batches", Anthropic.NotFoundError, () =>
    client().messages.batches.create({ requests: [] }),
  );
}

async function errors() {
  const table = [
    [400, Anthropic.BadRequestError, "invalid_request_error"],
    [404, Anthropic.InternalServerError, "api_error"],
    [429, Anthropic.RateLimitError, "rate_limit_error"],
    [500, Anthropic.InternalServerError, "api_error"],
  ];
  for (const [status, expected, type] of table) {
    for (const [way, play] of Object.entries(WAYS)) {
      const name = `${way}, upstream ${status}`;
      const step = { status, error: { error: { message: "Upstream says XYZ" } } };
      const error = await raised(name, expected, () => play(step));
      equal(`${name}: error type`, error.type, type);
      check(`${name}: the message`, error.message?.includes("XYZ"), error.message);
      check(`${name}: has a request id`, error.requestID, error.requestID);
    }
  }
}

async function retry() {
  const limited = { status: 429, retry_after: "1" };
  const started = script([limited, { text: "After the limit." }]);
  const message = await client({ maxRetries: 2 }).messages.create(started.request());
  equal("the SDK recovers from a 429", texts(message), ["After the limit."]);
  const [first, second] = await started.received();
  // Without retry-after the SDK would come back within a second.
  check("it waits as told", second?.at - first.at >= 0.95, second?.at - first.at);
}

async function brokenStreams() {
  for (const broken of ["cut", "ended", "error"]) {
    for (const content of [{ text: "A text that is cut off" }, { tools: TWO_CALLS }]) {
      const name = `a stream of ${Object.keys(content)}, ${broken}`;
      const play = () => stream({ ...content, broken }, { tools: [WEATHER] });
      const error = await raised(name, Anthropic.APIError, play);
      check(`${name}: error type`, ["api_error", "overloaded_error"].includes(error.type), error);
    }
  }
}

const CASES = [
  text,
  tools,
  toolRunner,
  thinking,
  parse,
  image,
  otherEndpoints,
  errors,
  retry,
  brokenStreams,
];

for (const run of CASES) {
  try {
    await run();
  } catch (error) {
    check(run.name, false, error.stack);
  }
}

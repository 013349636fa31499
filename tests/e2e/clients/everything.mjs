// OpenAI's client for JavaScript makes everything of a model that an application would.
//
//     node --input-type=module -e PROGRAM BASE_URL MODEL
//
// Prints one JSON object: what the client made of each answer. everything.py prints the same.
import OpenAI from "openai";

const [url, model] = process.argv.slice(1);
const client = new OpenAI({ baseURL: url, apiKey: "none" });
const messages = [{ role: "user", content: "What is the capital of France?" }];
const asked = { model, messages, temperature: 0, max_tokens: 32 };
const schema = {
  type: "object",
  properties: { city: { enum: ["Paris", "Berlin"] } },
  required: ["city"],
  additionalProperties: false,
};
const look = { name: "look_up", parameters: schema, strict: true };
const only = { type: "function", function: { name: "look_up" } };
const withTool = { tools: [{ type: "function", function: look }], max_tokens: 64 };
const tooLarge = "x".repeat(33 << 20);
const create = (fields) => client.chat.completions.create({ ...asked, ...fields });

async function chat() {
  const answer = await create({});
  const [choice] = answer.choices;
  return [choice.message.content, choice.finish_reason, answer.usage.total_tokens];
}

async function streamed() {
  let [text, ended, tokens] = ["", null, 0];
  for await (const chunk of await create({ stream: true, stream_options: { include_usage: true } })) {
    tokens = chunk.usage?.total_tokens ?? tokens;
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? "";
      ended = choice.finish_reason ?? ended;
    }
  }
  return [text, ended, tokens];
}

// A call, and an answer that has seen its result.
async function tools() {
  const answer = await create({ ...withTool, tool_choice: only });
  const { message } = answer.choices[0];
  const [call] = message.tool_calls;
  const result = { role: "tool", tool_call_id: call.id, content: "It is large." };
  const last = await create({ ...withTool, messages: [...messages, message, result] });
  const said = last.choices[0].message.content;
  return [call.function.name, JSON.parse(call.function.arguments), Boolean(said)];
}

async function toolsStreamed() {
  let [name, args] = ["", ""];
  for await (const chunk of await create({ ...withTool, tool_choice: only, stream: true })) {
    for (const call of chunk.choices[0].delta.tool_calls ?? []) {
      name += call.function.name ?? "";
      args += call.function.arguments ?? "";
    }
  }
  return [name, JSON.parse(args)];
}

async function structured() {
  const wanted = { name: "city", schema, strict: true };
  const answer = await create({ response_format: { type: "json_schema", json_schema: wanted } });
  return JSON.parse(answer.choices[0].message.content);
}

async function models() {
  const found = [];
  for await (const each of client.models.list()) found.push(each.id);
  return found;
}

// What the client tells of it: its own class of error, and what the server said.
async function error(ask) {
  try {
    return await ask();
  } catch (told) {
    if (!(told instanceof OpenAI.APIError) || told.status === undefined) throw told;
    const inShape = Boolean(told.type && told.code && told.message);
    return [told.constructor.name, told.status, inShape];
  }
}

const changed = (fields) => error(() => create(fields));

const done = {
  chat: await chat(),
  streamed: await streamed(),
  tools: await tools(),
  tools_streamed: await toolsStreamed(),
  structured: await structured(),
  models: await models(),
  embeddings: await error(() => client.embeddings.create({ model, input: "x" })),
  "no such model": await changed({ model: "other" }),
  "no such model, streamed": await changed({ model: "other", stream: true }),
  "a wrong field": await changed({ temperature: -1 }),
  "no messages": await changed({ messages: "none" }),
  "too long for the model": await changed({ max_tokens: 100_000 }),
  "too large": await changed({ messages: [{ role: "user", content: tooLarge }] }),
  "no such route": await error(() => client.get("/nothing")),
};
console.log(JSON.stringify(done));

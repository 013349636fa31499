// OpenAI's client for JavaScript is refused, and comes again by itself.
//
//     node --input-type=module -e PROGRAM BASE_URL MODEL STREAMS
//
// Holds that many streams open, and ends them when its next request is refused. Prints one JSON
// object: the status of each answer to that request, the seconds until the last one, and its text.
// retried.py prints the same.
import OpenAI from "openai";

const [url, model, streams] = process.argv.slice(1);
const asked = { model, messages: [{ role: "user", content: "Count to a thousand." }] };
const holder = new OpenAI({ baseURL: url, apiKey: "none" });
const long = { ...asked, stream: true, max_tokens: 900, ignore_eos: true };
const held = Array.from({ length: Number(streams) }, () => holder.chat.completions.create(long));
const open = await Promise.all(held);

const statuses = [];
const noting = async (...request) => {
  const response = await fetch(...request);
  statuses.push(response.status);
  if (response.status !== 200) open.forEach((stream) => stream.controller.abort());
  return response;
};
const client = new OpenAI({ baseURL: url, apiKey: "none", fetch: noting });
const began = performance.now();
const answer = await client.chat.completions.create({ ...asked, max_tokens: 1 });
const seconds = (performance.now() - began) / 1000;
console.log(JSON.stringify({ statuses, seconds, text: answer.choices[0].message.content }));

// For the tests: reads one request per line, as JSON, and answers each with a line, ok or failed.

import { createInterface } from "node:readline";

import { verifyStandardWebhooks } from "./standard-webhooks.js";
import { verifyVerbex } from "./verbex.js";

function verify({ format, headers, body, secrets }) {
  const bytes = Buffer.from(body);
  return format === "standard-webhooks"
    ? verifyStandardWebhooks(headers, bytes, secrets)
    : verifyVerbex(headers["X-Webhook-Signature"], bytes, secrets);
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(verify(JSON.parse(line)) ? "ok" : "failed");
}

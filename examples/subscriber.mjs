// Print the feedback that is routed to one department, with nothing of Klankbord but a JSON Schema.
//
//   npm ci --prefix examples
//   klankbord subscriber add product-board --subjects 'klankbord.feedback.routed.v1.*.product' --creds product-board.nk
//   node examples/subscriber.mjs product-board product-board.nk nats://127.0.0.1:PORT
//
// One line of JSON per event, each event once by its id. Ctrl-C ends it; the next start goes on
// where this one stopped, because the place is kept at the server.
import { readFileSync } from "node:fs";
import { jetstream } from "@nats-io/jetstream";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const [name, seedFile, servers] = process.argv.slice(2);
if (!servers) {
  console.error("usage: subscriber.mjs NAME SEED_FILE NATS_URL");
  process.exit(1);
}

const schema = new URL(
  "../docs/schemas/org.klankbord.feedback.routed.v1.json",
  import.meta.url,
);
const isFeedbackRouted = addFormats(new Ajv2020({ strict: false })).compile(
  JSON.parse(readFileSync(schema, "utf8")),
);

const user = `subscriber-${name}`;
const connection = await connect({
  servers: servers.split(","), // those of a cluster
  authenticator: nkeyAuthenticator(Buffer.from(readFileSync(seedFile, "utf8").trim())),
  inboxPrefix: `_INBOX_${user}`,
  maxReconnectAttempts: -1,
});
// Named, not looked up: a third party may take its events and ask the server nothing else.
const consumer = jetstream(connection).consumers.getConsumerFromInfo({
  stream_name: "ROUTING",
  name: user,
  config: { durable_name: user },
});
const messages = await consumer.consume();
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => messages.stop());
}

const seen = new Set();
for await (const message of messages) {
  const event = message.json();
  if (!isFeedbackRouted(event)) {
    console.error(`not what the schema says, left alone: ${JSON.stringify(isFeedbackRouted.errors)}`);
    message.term();
    continue;
  }
  if (!seen.has(event.id)) {
    seen.add(event.id);
    const { intent, priority, dueAt, content } = event.data;
    console.log(JSON.stringify({ id: event.id, intent, priority, due: dueAt, content }));
  }
  message.ack();
}
await connection.drain();

// A receiver in another stack: checks signatures as docs/reference/subscriptions.md says, and prints what it takes.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.argv[2].replace("whsec_", ""), "base64");
const seen = new Set();

const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts);
    const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": sent } = request.headers;
    const signed = createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest("base64");
    const genuine = sent && timingSafeEqual(Buffer.from(sent), Buffer.from(`v1,${signed}`));
    const fresh = Math.abs(Date.now() / 1000 - Number(at)) < 300;
    response.writeHead(genuine && fresh ? 200 : 401).end();
    if (!genuine || !fresh || seen.has(id)) return;
    seen.add(id);
    const bundle = JSON.parse(body);
    const parameters = bundle.entry[0].resource.parameter;
    const type = parameters.find((each) => each.name === "type").valueCode;
    const events = parameters.filter((each) => each.name === "notification-event");
    const numbers = events.map((each) => each.part.find((part) => part.name === "event-number").valueString);
    console.log(JSON.stringify({ type, numbers, resources: bundle.entry.slice(1).map((each) => each.resource.id) }));
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));

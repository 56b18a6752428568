/** Which addresses an endpoint may have: by the resolved address, at the connection, whatever the name said before. */
import type { LookupAddress } from "node:dns";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { isPublicAddress } from "../../src/webhooks/address.ts";
import type { Resolve } from "../../src/webhooks/lookup.ts";
import { createSend, type SendOptions } from "../../src/webhooks/send.ts";
import { newSecret } from "../../src/webhooks/sign.ts";
import { selfSigned } from "../support/self-signed.ts";
import { startReceiver } from "../support/webhooks.ts";

const SIGNAL = new AbortController().signal;
const OPTIONS: SendOptions = { timeoutMs: 2_000, allowPrivate: false, allowHttp: true, version: "test" };
const MESSAGE = { secret: newSecret(), id: "evt_1", at: new Date(), body: '{"type":"x","data":{}}' };

/** A resolver that gives each answer in turn, the last one from then on. */
function answering(...answers: string[][]): Resolve & { asked: number } {
  const resolve = ((_name, _options, done) => {
    const addresses = answers[Math.min(resolve.asked++, answers.length - 1)] ?? [];
    const found = addresses.map((address): LookupAddress => ({ address, family: address.includes(":") ? 6 : 4 }));
    setImmediate(() => done(null, found));
  }) as Resolve & { asked: number };
  resolve.asked = 0;
  return resolve;
}

function post(url: string, more: Partial<SendOptions> = {}, signal = SIGNAL) {
  return createSend({ ...OPTIONS, ...more })({ ...MESSAGE, url }, signal);
}

test.each([
  ...["0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.1.2.3", "169.254.169.254"],
  ...["172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.19.255.255"],
  ...["198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"],
  ...["::", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:7f00:1", "::127.0.0.1"],
  ...["fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::"],
  ...["64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "example.org", ""],
])("%s is no public address", (address) => {
  expect(isPublicAddress(address)).toBe(false);
});

test.each([
  ...[
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.167.1.1",
    "223.255.255.1",
  ],
  ...["2606:4700::1111", "2a00:1450:4001::200e", "64:ff9b::8.8.8.8", "64:ff9b::808:808"],
])("%s is a public address", (address) => {
  expect(isPublicAddress(address)).toBe(true);
});

test.each([
  ...["http://127.0.0.1", "http://2130706433", "http://0x7f.1", "http://0177.0.0.1", "http://[::1]", "http://0"],
  ...["http://[::ffff:127.0.0.1]", "http://169.254.169.254", "http://10.0.0.1", "http://[fe80::1]", "http://127.1"],
])("an address in the URL is refused in each of its spellings: %s", async (origin) => {
  await using receiver = await startReceiver();
  const { port } = new URL(receiver.url);
  expect(await post(`${origin}:${port}/hook`)).toMatchObject({
    outcome: "failed",
    status: null,
    error: expect.stringMatching(/is a private, local or reserved address: .*WEBHOOK_ALLOW_PRIVATE=true/),
  });
  expect(receiver.told).toEqual([]);
});

test.each([
  ["127.0.0.1"],
  ["::1"],
  ["169.254.169.254"],
  ["::ffff:127.0.0.1"],
  // One public address does not excuse the other.
  ["93.184.215.14", "127.0.0.1"],
])("a name that resolves to %s %s is refused", async (...addresses) => {
  await using receiver = await startReceiver();
  const { port } = new URL(receiver.url);
  const answer = await post(`http://inside.example:${port}/hook`, { resolve: answering(addresses) });
  expect(answer).toMatchObject({ outcome: "failed", error: expect.stringContaining("inside.example (") });
  expect(receiver.told).toEqual([]);
});

test("a real name of this machine is refused, and taken where the setting allows it", async () => {
  await using receiver = await startReceiver();
  const url = receiver.url.replace("127.0.0.1", "localhost");
  expect(await post(url)).toMatchObject({ outcome: "failed", error: expect.stringContaining("localhost (") });
  expect(receiver.told).toEqual([]);
  expect(await post(url, { allowPrivate: true })).toEqual({ outcome: "delivered", status: 204, error: "" });
});

test("a name is resolved once for a connection: what it says a moment later is not asked", async () => {
  await using receiver = await startReceiver();
  const { port } = new URL(receiver.url);
  const resolve = answering(["192.0.2.1"], ["127.0.0.1"]);
  expect(await post(`http://rebind.example:${port}/hook`, { resolve })).toMatchObject({ outcome: "failed" });
  expect(resolve.asked).toBe(1);
  expect(receiver.told).toEqual([]);
});

test("what the name resolved to is what is connected to", async () => {
  await using receiver = await startReceiver();
  const { port } = new URL(receiver.url);
  const resolve = answering(["127.0.0.1"], ["192.0.2.1"]);
  const answer = await post(`http://any.example:${port}/hook`, { resolve, allowPrivate: true });
  expect(answer).toMatchObject({ outcome: "delivered" });
  expect(resolve.asked).toBe(1);
  expect(receiver.told[0]?.headers.host).toBe(`any.example:${port}`);
});

test("a slow name is asked for once, however many wait for it", async () => {
  let asked = 0;
  const resolve: Resolve = () => void asked++;
  const send = createSend({ ...OPTIONS, resolve, timeoutMs: 50 });
  const answers = await Promise.all([1, 2, 3].map(() => send({ ...MESSAGE, url: "http://slow.example/" }, SIGNAL)));
  expect(answers.every(({ error }) => error.includes("no answer within 50 ms"))).toBe(true);
  expect(asked).toBe(1);
});

test("http is refused unless the setting allows it, and anything else always", async () => {
  await using receiver = await startReceiver();
  const allowPrivate = true;
  expect(await post(receiver.url, { allowPrivate, allowHttp: false })).toMatchObject({
    error: "it is http, not https: give an https address, or set WEBHOOK_ALLOW_HTTP=true",
  });
  expect(await post("ftp://example.org/", { allowPrivate })).toMatchObject({
    error: expect.stringMatching(/not https/),
  });
  expect(receiver.told).toEqual([]);
});

test("a name that does not resolve, and a stop, have words of their own", async () => {
  const resolve: Resolve = (_n, _o, done) => done(Object.assign(new Error("x"), { code: "ENOTFOUND" }), []);
  expect(await post("http://none.example/", { resolve })).toMatchObject({ error: "its name cannot be resolved" });
  expect(await post("http://none.example/", { resolve: answering([]) })).toMatchObject({ outcome: "failed" });
  expect(await post("http://none.example/", { resolve }, AbortSignal.abort())).toMatchObject({ outcome: "stopped" });
});

test("a body without an end is cut off, and does not change what the status said", async () => {
  await using receiver = await startReceiver(() => ({ status: 200, body: "x".repeat(5_000_000) }));
  expect(await post(receiver.url, { allowPrivate: true })).toMatchObject({ outcome: "delivered" });
});

test("an https endpoint whose certificate nobody vouches for is told nothing, and the words say why", async () => {
  let asked = 0;
  const server = createServer(selfSigned(), () => void asked++);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  expect(await post(`https://127.0.0.1:${port}/`, { allowPrivate: true })).toMatchObject({
    outcome: "failed",
    error: expect.stringMatching(/^its certificate is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)/),
  });
  expect(asked).toBe(0);
  await new Promise((done) => server.close(done));
});

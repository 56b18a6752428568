import net from "node:net";
import { expect, test } from "vitest";
import { listen } from "../../src/rpc/listen.ts";
import { fakeServer } from "../support/fake-services.ts";

test("port 0 is a free one, told in port and url", async () => {
  await using one = await fakeServer();
  await using two = await fakeServer();
  expect(one.port).toBeGreaterThan(0);
  expect(one.port).not.toBe(two.port);
  expect(one.url).toBe(`http://127.0.0.1:${one.port}`);
});

test("a port in use is told with the address and the way out", async () => {
  await using one = await fakeServer();
  const failed = await fakeServer({ port: one.port }).catch((err: Error) => err.message);
  expect(failed).toMatch(new RegExp(`cannot listen on 127\\.0\\.0\\.1 port ${one.port} .*another program.*PORT`));
});

test("an address of another machine is told with the way out", async () => {
  const failed = await fakeServer({ host: "192.0.2.1" }).catch((err: Error) => err.message);
  expect(failed).toMatch(/cannot listen on 192\.0\.2\.1 .*no such address.*HOST/);
});

test("every reason that the system knows reads as a sentence", async () => {
  for (const [code, words] of [
    ["EACCES", "PORT"],
    ["ENOTFOUND", "HOST"],
    ["EMFILE", "HOST and PORT"],
  ] as const) {
    const server = net.createServer();
    server.listen = (() => server.emit("error", Object.assign(new Error(code), { code }))) as never;
    const failed = await listen(server, "h", 80).catch((err: Error) => err.message);
    expect(failed).toMatch(new RegExp(`^cannot listen on h port 80 \\(${code}\\).*${words}`));
  }
});

test("an IPv6 address is told as a URL takes it", async () => {
  for (const [host, reachable] of [
    ["::1", "[::1]"],
    ["::", "[::1]"],
    ["broker.local", "broker.local"],
  ] as const) {
    const server = net.createServer();
    server.listen = ((_options: object, listening: () => void) => listening()) as never;
    server.address = () => ({ address: host, family: "IPv6", port: 50051 });
    expect(await listen(server, host, 50051)).toEqual({ port: 50051, reachable });
  }
});

test("a server on all addresses is told by one that clients can use", async () => {
  await using all = await fakeServer({ host: "0.0.0.0" });
  expect(all.url).toBe(`http://127.0.0.1:${all.port}`);
  expect((await fetch(all.url)).status).toBe(404);
});

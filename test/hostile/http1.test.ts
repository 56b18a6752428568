/** HTTP/1.1 as no decent client speaks it: slow, endless, ambiguous, and along strange paths. */
import type net from "node:net";
import { expect } from "vitest";
import { rawSocket } from "../support/sockets.ts";
import { until } from "../support/until.ts";
import { API_TOKEN, type HostileBroker, WORKER_TOKEN } from "./hostile-broker.ts";
import { writeTo } from "./raw-http2.ts";
import { type Attack, sized, test } from "./under-attack.ts";

const NEXT = "/api/v1/internal/ai/job/next/";
const RESULT = "/api/v1/internal/ai/job/result/";
const DISPATCH = "/aibroker.v1.JobService/Dispatch";
/** Within which who sends too much is told so, though it goes on sending. */
const ANSWER_MS = 20_000;
const SLOW = sized(500, 5_000);

const head = (line: string, ...fields: string[]) => [`${line} HTTP/1.1`, "Host: h", ...fields, "", ""].join("\r\n");
const worker = `X-Worker-Token: ${WORKER_TOKEN}`;
const api = `X-Worker-Token: ${API_TOKEN}`;
const json = "Content-Type: application/json";

/** The statuses of all answers on one connection, once it is closed by either side. */
async function statuses(broker: HostileBroker, bytes: string | Buffer): Promise<number[]> {
  const { closed } = await rawSocket(broker.port, bytes);
  return [...(await closed).matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((hit) => Number(hit[1]));
}

/** Sends the rest of the bytes one at a time on each socket, for as long as the attack stands. */
function drip(sockets: readonly net.Socket[], rest: Buffer): () => void {
  let at = 0;
  const timer = setInterval(() => {
    for (const socket of sockets)
      if (socket.writable) socket.write(rest.subarray(at % rest.length, (at % rest.length) + 1));
    at += 1;
  }, 20);
  return () => {
    clearInterval(timer);
    for (const socket of sockets) socket.destroy();
  };
}

/** The bytes again and again, 128 MiB of them at most, for as long as it may. */
async function pour(socket: net.Socket, bytes: Buffer, mayGoOn: () => boolean): Promise<void> {
  const most = (128 * 1024 * 1024) / bytes.length;
  for (let sent = 0; sent < most && socket.writable && mayGoOn(); sent++) await writeTo(socket, bytes);
}

async function crowd(broker: HostileBroker, count: number, bytes: string): Promise<net.Socket[]> {
  const all: net.Socket[] = [];
  while (all.length < count) {
    const batch = Array.from({ length: Math.min(100, count - all.length) }, () => rawSocket(broker.port, bytes));
    for (const { socket } of await Promise.all(batch)) all.push(socket);
  }
  return all;
}

test("slow headers", async ({ withstands }) => {
  await withstands(async (broker) => {
    const sockets = await crowd(broker, SLOW, `GET ${NEXT} HTTP/1.1\r\nHost: h\r\n`);
    return drip(sockets, Buffer.from(`X-Slow: ${"x".repeat(10_000)}`));
  });
});

test("slow bodies, of the shim and of an RPC", async ({ withstands }) => {
  await withstands(async (broker) => {
    const shim = await crowd(broker, SLOW / 2, head(`POST ${RESULT}`, worker, json, "Content-Length: 100000"));
    const rpc = await crowd(broker, SLOW / 2, head(`POST ${DISPATCH}`, api, json, "Content-Length: 100000"));
    return drip([...shim, ...rpc], Buffer.from(`{"job_id":"${"x".repeat(10_000)}`));
  });
});

test("bodies that are announced as huge, and chunked ones without an end", async ({ withstands }) => {
  await withstands(async (broker) => {
    const announced = [
      await statuses(broker, head(`POST ${RESULT}`, worker, json, "Content-Length: 99999999999")),
      await statuses(broker, head(`POST ${RESULT}`, worker, json, `Content-Length: ${"9".repeat(400)}`)),
    ];
    expect(announced).toEqual([[413], expect.toBeOneOf([[400], [413]])]);
    const chunk = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(65_536, 0x20), Buffer.from("\r\n")]);
    const paths = [RESULT, DISPATCH, "/nowhere", "/metrics"];
    for (const path of paths) {
      const token = path === DISPATCH ? api : worker;
      const { socket, text } = await rawSocket(
        broker.port,
        head(`POST ${path}`, token, json, "Transfer-Encoding: chunked"),
      );
      const sending = pour(socket, chunk, () => text() === "");
      await until(`${path} is answered or closed`, () => text() !== "" || socket.destroyed, ANSWER_MS);
      expect(text(), path).not.toContain("HTTP/1.1 2");
      socket.destroy();
      await sending;
    }
    return () => undefined;
  });
});

test("chunks of one byte with long extensions", async ({ withstands }) => {
  await withstands(async (broker) => {
    const { socket, closed } = await rawSocket(
      broker.port,
      head(`POST ${RESULT}`, worker, json, "Transfer-Encoding: chunked"),
    );
    const chunk = Buffer.from(`1;${"e".repeat(1_000)}\r\n \r\n`);
    for (let sent = 0; sent < sized(10_000, 200_000) && socket.writable; sent++) await writeTo(socket, chunk);
    if (socket.writable) socket.end("0\r\n\r\n");
    expect(await closed).not.toContain("HTTP/1.1 2");
    return () => undefined;
  });
});

test("shapes that two readers may read in two ways are read in none", async ({ withstands }) => {
  const hidden = head(`GET ${NEXT}`, worker);
  const body = `0\r\n\r\n${hidden}`;
  const shapes = {
    "a length and chunks": head(
      `POST ${RESULT}`,
      worker,
      `Content-Length: ${body.length}`,
      "Transfer-Encoding: chunked",
    ),
    "two lengths": head(`POST ${RESULT}`, worker, "Content-Length: 5", `Content-Length: ${body.length}`),
    "a length with a sign": head(`POST ${RESULT}`, worker, "Content-Length: +5"),
    "a length in hex": head(`POST ${RESULT}`, worker, "Content-Length: 0x5"),
    "lengths in a list": head(`POST ${RESULT}`, worker, "Content-Length: 5, 5"),
    "chunked twice": head(`POST ${RESULT}`, worker, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunked and then something": head(`POST ${RESULT}`, worker, "Transfer-Encoding: chunked, identity"),
    "chunked with a blank before the colon": head(`POST ${RESULT}`, worker, "Transfer-Encoding : chunked"),
    "chunked behind a tab": head(`POST ${RESULT}`, worker, "Transfer-Encoding:\tchunked", "Content-Length: 5"),
    "chunked with a bare return": head(`POST ${RESULT}`, worker, "X: y\rTransfer-Encoding: chunked"),
    "a folded field": head(`POST ${RESULT}`, worker, "X: y\r\n Transfer-Encoding: chunked"),
    "a NUL in a field": head(`POST ${RESULT}`, worker, "X: a\0b"),
    "bare line feeds": head(`POST ${RESULT}`, worker, "Content-Length: 5").replaceAll("\r\n", "\n"),
  };
  await withstands(async (broker) => {
    for (const [what, shape] of Object.entries(shapes)) {
      const answered = await statuses(broker, `${shape}${body}`);
      // One refusal and the end of the connection: what is hidden in the body is no request.
      expect(answered.length, `${what}: ${answered}`).toBeLessThanOrEqual(1);
      for (const status of answered) expect(status, what).toBeGreaterThanOrEqual(400);
    }
    return () => undefined;
  });
});

test("thousands of requests in one piece, and a client that reads none of the answers", async ({ withstands }) => {
  const attack: Attack = async (broker) => {
    // HEAD, which claims nothing from the good client.
    const one = head(`HEAD ${NEXT}`, worker);
    const { socket } = await rawSocket(broker.port);
    socket.pause();
    const sent = writeTo(socket, Buffer.from(one.repeat(sized(5_000, 50_000))));
    return async () => {
      socket.destroy();
      await sent;
    };
  };
  // Each of them takes the time that a request takes.
  await withstands(attack, { p99Ms: 5_000 });
});

test("strange ways to the shim end at the shim's own checks or nowhere", async ({ withstands }) => {
  const base = "/api/v1/internal/ai/job";
  const ways = [
    `${base}/next/../result/`,
    `${base}/next/..%2fresult/`,
    `${base}//next/`,
    `//api/v1/internal/ai/job/next/`,
    `${base}/next/;x=y`,
    `${base}/next/%00`,
    `${base}/next%00/`,
    `${base}/NEXT/`,
    `${base}/next\\`,
    `${base}/n%65xt/`,
    `${base}/n%2565xt/`,
    `${base}/%6eext`,
    `http://elsewhere${base}/next/`,
    `${base}/next/%ff%fe`,
    `${base}/next/?format=api&format=json`,
    `${base}/next/?${"a=b&".repeat(2_000)}`,
    `/./api/v1/internal/ai/job/next/`,
    `/metrics/../api/v1/internal/ai/job/next/`,
    `/metrics%2f`,
    `/aibroker.v1.JobService/../aibroker.v1.AdminService/GetStats`,
    `/aibroker.v1.AdminService%2fGetStats`,
    "*",
    "/".repeat(8_000),
  ];
  await withstands(async (broker) => {
    for (const way of ways) {
      // Without a token no way leads anywhere: a job or a figure is never in the answer.
      const { socket, text, closed } = await rawSocket(broker.port, head(`GET ${way}`, "Connection: close"));
      const answer = await closed;
      expect(answer, way.slice(0, 80)).toMatch(/^HTTP\/1\.1 [45]\d\d /);
      expect(answer, way.slice(0, 80)).not.toMatch(/^HTTP\/1\.1 5(?!03|05)/);
      expect(text()).not.toContain('"job":');
      socket.destroy();
    }
    return () => undefined;
  });
});

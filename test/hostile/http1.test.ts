/** HTTP/1.1 as no decent client speaks it: slow, endless, ambiguous, and along strange paths. */
import type net from "node:net";
import { expect } from "vitest";
import { rawSocket } from "../support/sockets.ts";
import { until } from "../support/until.ts";
import { bytesOf, crowd, dripToTheEnd, PACE_MS } from "./crowd.ts";
import { API_TOKEN, type HostileBroker, WORKER_TOKEN } from "./hostile-broker.ts";
import { writeTo } from "./raw-http2.ts";
import { count, sized } from "./size.ts";
import { type Attack, test } from "./under-attack.ts";

const NEXT = "/api/v1/internal/ai/job/next/";
const RESULT = "/api/v1/internal/ai/job/result/";
const DISPATCH = "/aibroker.v1.JobService/Dispatch";
/** Within which who sends too much is told so, though it goes on sending. */
const ANSWER_MS = 20_000;
const SLOW = sized(500, 5_000);
const CHUNKS = sized(10_000, 200_000);
const REQUESTS = sized(5_000, 50_000);
/** The broker gives headers 15 s and a whole request 60 s, and looks every 5 s. */
const HEADERS_END_MS = 30_000;
const REQUEST_ENDS_MS = 90_000;
/** The broker is at work for as long as bytes come: it has to look at each of them to find the end of a request. */
const POURED = { instead: { p99Ms: 2_000, why: "the broker reads as fast as the attacker sends" } };
/** Each chunk is an object of its own until V8 collects them. */
const CRUMBS_MB = 600;
/** Connect sets aside what a Content-Length says, here 100 KB for each RPC; above 128 KB the kernel gives it as it is filled. */
const ANNOUNCED_MB = 800;
const AT_ONCE = { p99Ms: 2_000, worstMs: 10_000, why: "all of them run out of time at once, and each is answered" };
const slowly = `a byte in ${PACE_MS} ms`;

const head = (line: string, ...fields: string[]) => [`${line} HTTP/1.1`, "Host: h", ...fields, "", ""].join("\r\n");
const worker = `X-Worker-Token: ${WORKER_TOKEN}`;
const api = `X-Worker-Token: ${API_TOKEN}`;
const json = "Content-Type: application/json";

/** The statuses of all answers on one connection, once it is closed by either side. */
async function statuses(broker: HostileBroker, bytes: string | Buffer): Promise<number[]> {
  const { closed } = await rawSocket(broker.port, bytes);
  return [...(await closed).matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((hit) => Number(hit[1]));
}

/** The bytes again and again, 128 MiB of them at most, for as long as it may. */
async function pour(socket: net.Socket, bytes: Buffer, mayGoOn: () => boolean): Promise<void> {
  const most = (128 * 1024 * 1024) / bytes.length;
  for (let sent = 0; sent < most && socket.writable && mayGoOn(); sent++) await writeTo(socket, bytes);
}

test("slow headers", async ({ withstands }) => {
  const attack: Attack = async (broker) => {
    const sockets = await crowd(broker, SLOW, `GET ${NEXT} HTTP/1.1\r\nHost: h\r\n`);
    return await dripToTheEnd(sockets, bytesOf(Buffer.from(`X-Slow: ${"x".repeat(10_000)}`)), HEADERS_END_MS);
  };
  await withstands(`${count(SLOW, "connections")}, ${slowly}`, attack, { connections: SLOW });
});

test("slow bodies, of the shim and of an RPC", async ({ withstands }) => {
  const attack: Attack = async (broker) => {
    const shim = await crowd(broker, SLOW / 2, head(`POST ${RESULT}`, worker, json, "Content-Length: 100000"));
    const rpc = await crowd(broker, SLOW / 2, head(`POST ${DISPATCH}`, api, json, "Content-Length: 100000"));
    const body = Buffer.from(`{"job_id":"${"x".repeat(10_000)}`);
    return await dripToTheEnd([...shim, ...rpc], bytesOf(body), REQUEST_ENDS_MS);
  };
  const bounds = { connections: SLOW, instead: AT_ONCE, roomMb: ANNOUNCED_MB };
  await withstands(`${count(SLOW, "connections")}, ${slowly}`, attack, bounds);
});

test("bodies that are announced as huge, and chunked ones without an end", async ({ withstands }) => {
  await withstands(
    "4 bodies, 128 MiB each at most",
    async (broker) => {
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
      return undefined;
    },
    POURED,
  );
});

test("chunks of one byte with long extensions", async ({ withstands }) => {
  await withstands(
    count(CHUNKS, "chunks"),
    async (broker) => {
      const { socket, closed } = await rawSocket(
        broker.port,
        head(`POST ${RESULT}`, worker, json, "Transfer-Encoding: chunked"),
      );
      const chunk = Buffer.from(`1;${"e".repeat(1_000)}\r\n \r\n`);
      for (let sent = 0; sent < CHUNKS && socket.writable; sent++) await writeTo(socket, chunk);
      if (socket.writable) socket.end("0\r\n\r\n");
      expect(await closed).not.toContain("HTTP/1.1 2");
      return undefined;
    },
    { ...POURED, roomMb: CRUMBS_MB },
  );
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
  await withstands(count(Object.keys(shapes).length, "shapes"), async (broker) => {
    for (const [what, shape] of Object.entries(shapes)) {
      const answered = await statuses(broker, `${shape}${body}`);
      // One refusal and the end of the connection: what is hidden in the body is no request.
      expect(answered.length, `${what}: ${answered}`).toBeLessThanOrEqual(1);
      for (const status of answered) expect(status, what).toBeGreaterThanOrEqual(400);
    }
    return undefined;
  });
});

test("thousands of requests in one piece, and a client that reads none of the answers", async ({ withstands }) => {
  const attack: Attack = async (broker) => {
    // HEAD, which claims nothing from the good client.
    const one = head(`HEAD ${NEXT}`, worker);
    const { socket } = await rawSocket(broker.port);
    socket.pause();
    const sent = writeTo(socket, Buffer.from(one.repeat(REQUESTS)));
    return async () => {
      socket.destroy();
      await sent;
    };
  };
  const why = "each of them takes the time that a request takes";
  await withstands(count(REQUESTS, "requests"), attack, { instead: { p99Ms: 5_000, why } });
});

const BASE = "/api/v1/internal/ai/job";
/** Other spellings of the shim's own paths: they lead there, and so to its checks. */
const SPELLINGS = [
  `${BASE}/n%65xt/`,
  `${BASE}/%6eext`,
  `http://elsewhere${BASE}/next/`,
  `${BASE}/next/?format=api&format=json`,
];
const ASTRAY = [
  `${BASE}/next/../result/`,
  `${BASE}/next/..%2fresult/`,
  `${BASE}//next/`,
  `//api/v1/internal/ai/job/next/`,
  `${BASE}/next/;x=y`,
  `${BASE}/next/%00`,
  `${BASE}/next%00/`,
  `${BASE}/NEXT/`,
  `${BASE}/next\\`,
  `${BASE}/n%2565xt/`,
  `${BASE}/next/%ff%fe`,
  `${BASE}/next/?${"a=b&".repeat(2_000)}`,
  `/./api/v1/internal/ai/job/next/`,
  `/metrics/../api/v1/internal/ai/job/next/`,
  `/metrics%2f`,
  `/aibroker.v1.JobService/../aibroker.v1.AdminService/GetStats`,
  `/aibroker.v1.AdminService%2fGetStats`,
  "*",
  "/".repeat(8_000),
];

/** What a request along that way is answered with. */
async function along(broker: HostileBroker, method: string, way: string, ...fields: string[]): Promise<string> {
  const { socket, closed } = await rawSocket(broker.port, head(`${method} ${way}`, ...fields, "Connection: close"));
  const answer = await closed;
  socket.destroy();
  return answer;
}

/** No job, no figure, and no fault. */
function expectRefusal(answer: string, way: string): void {
  const shown = way.slice(0, 80);
  expect(answer, shown).toMatch(/^HTTP\/1\.1 [45]\d\d /);
  expect(answer, shown).not.toMatch(/^HTTP\/1\.1 5(?!03|05)/);
  expect(answer, shown).not.toMatch(/"job":|aibroker_/);
}

test("strange ways to the shim end at the shim's own checks or nowhere", async ({ withstands }) => {
  await withstands(count(SPELLINGS.length + ASTRAY.length, "ways"), async (broker) => {
    for (const way of [...SPELLINGS, ...ASTRAY]) expectRefusal(await along(broker, "GET", way), way);
    return undefined;
  });
});

test("with a worker's token they lead to the shim or nowhere, and to nothing that is not a worker's", async ({
  withstands,
}) => {
  await withstands(count(SPELLINGS.length + ASTRAY.length, "ways"), async (broker) => {
    for (const way of ASTRAY) {
      expectRefusal(await along(broker, "GET", way, worker), way);
      expectRefusal(await along(broker, "POST", way, worker, json, "Content-Length: 0"), way);
    }
    for (const way of SPELLINGS) {
      // HEAD is the same way, and claims nothing from the good client.
      expect(await along(broker, "HEAD", way, worker), way.slice(0, 80)).toMatch(/^HTTP\/1\.1 200 /);
      expectRefusal(await along(broker, "POST", way, worker, json, "Content-Length: 0"), way);
    }
    return undefined;
  });
});

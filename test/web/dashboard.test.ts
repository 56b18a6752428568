/** How the dashboard is served: by which names, with which headers, and what is never answered. No browser is needed. */
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createDashboard } from "../../src/web/dashboard.ts";
import { exchange, requestBytes } from "../rest/raw-http.ts";

const INDEX = '<!doctype html><script type="module" src="./assets/index-abc.js"></script>';
const SCRIPT = `export const text = ${JSON.stringify("한글 ".repeat(200))};\n`;

let folder: string;
let built: string;
let port: number;
let server: http.Server;
let failed: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aibroker-web-"));
  built = join(folder, "ui");
  await mkdir(join(built, "assets"), { recursive: true });
  await writeFile(join(built, "index.html"), INDEX);
  await writeFile(join(built, "icon.svg"), "<svg/>");
  await writeFile(join(built, "assets/index-abc.js"), SCRIPT);
  await writeFile(join(built, "sources.sha256"), "abc");
  await writeFile(join(folder, "secret.js"), "secret");
});

afterAll(() => rm(folder, { recursive: true }));

beforeEach(async () => {
  failed = [];
  const dashboard = createDashboard({ folder: built, failed: (method, reason) => failed.push(`${method} ${reason}`) });
  server = http.createServer(async (req, res) => {
    if (!(await dashboard(req, res))) res.writeHead(404, { "content-length": 0 }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});

afterEach(() => new Promise((resolve) => server.close(resolve)));

const get = (target: string, headers: [string, string][] = [], method = "GET") =>
  exchange(port, requestBytes({ method, target, headers }), method === "HEAD");

describe("files", () => {
  test("the page is at /ui/, asked for anew each time, with a tag that spares its bytes", async () => {
    const page = await get("/ui/");
    expect(page).toMatchObject({ status: 200, body: Buffer.from(INDEX) });
    expect(page.headers).toMatchObject({ "content-type": "text/html; charset=utf-8", "cache-control": "no-cache" });
    const again = await get("/ui/", [["If-None-Match", `W/"other", ${page.headers["etag"]}`]]);
    expect(again).toMatchObject({ status: 304, body: Buffer.alloc(0) });
    expect(again.headers["etag"]).toBe(page.headers["etag"]);
  });

  test("what has a hash in its name is kept for ever", async () => {
    const script = await get("/ui/assets/index-abc.js");
    expect(script.body.toString()).toBe(SCRIPT);
    expect(script.headers).toMatchObject({
      "content-type": "text/javascript; charset=utf-8",
      "cache-control": "public, max-age=31536000, immutable",
    });
    expect((await get("/ui/icon.svg")).headers["cache-control"]).toBe("no-cache");
  });

  test.each([
    ["gzip", true],
    ["br, gzip;q=0.8", true],
    ["GZIP", true],
    ["gzip;q=0", false],
    ["br", false],
    ["xgzip", false],
  ])("Accept-Encoding: %s is answered gzipped: %s", async (accepted, isGzipped) => {
    const { headers, body } = await get("/ui/assets/index-abc.js", [["Accept-Encoding", accepted]]);
    expect(headers["content-encoding"]).toBe(isGzipped ? "gzip" : undefined);
    expect(headers["vary"]).toBe("accept-encoding");
    expect((isGzipped ? gunzipSync(body) : body).toString()).toBe(SCRIPT);
  });

  test("the two forms of a file have tags of their own", async () => {
    const plain = await get("/ui/icon.svg");
    const gzipped = await get("/ui/icon.svg", [["Accept-Encoding", "gzip"]]);
    expect(plain.headers["etag"]).not.toBe(gzipped.headers["etag"]);
  });

  test("HEAD has the headers of GET and no body", async () => {
    const [head, page] = [await get("/ui/", [], "HEAD"), await get("/ui/")];
    expect(head.body).toHaveLength(0);
    expect(head.headers).toEqual({ ...page.headers, date: head.headers["date"] });
  });

  test("/ui leads to /ui/ by a relative address, so also behind a prefix", async () => {
    expect(await get("/ui?x=1")).toMatchObject({ status: 308, headers: { location: "ui/" } });
  });
});

describe("guards", () => {
  const POLICY =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; " +
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

  test.each(["/ui/", "/ui/assets/index-abc.js", "/ui"])("%s says what its page may do", async (target) => {
    expect((await get(target)).headers).toMatchObject({
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
    });
  });

  test.each([
    "/ui/../secret.js",
    "/ui/..%2fsecret.js",
    "/ui/%2e%2e/secret.js",
    "/ui/assets/../../secret.js",
    "/ui//secret.js",
    "/ui/assets/",
    "/ui/assets",
    "/ui/sources.sha256",
    "/ui/constructor",
    "/uix",
    "/",
  ])("%s is nothing of the dashboard's", async (target) => {
    expect((await get(target)).status).toBe(404);
  });

  test.each(["POST", "PUT", "DELETE", "OPTIONS"])("%s is not to be had", async (method) => {
    expect(await get("/ui/", [], method)).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
    expect(failed).toEqual(["ui NOT_SERVED"]);
  });
});

test("before it is built the page says by which command, and after it needs no restart", async () => {
  await rename(built, `${built}-away`);
  const before = await get("/ui/");
  expect(before.status).toBe(503);
  expect(before.body.toString()).toContain("npm run build:ui");
  expect(before.headers["content-security-policy"]).toContain("default-src 'none'");
  await rename(`${built}-away`, built);
  expect((await get("/ui/")).status).toBe(200);
});

test("what was read once is served as it was, whatever becomes of the folder", async () => {
  expect((await get("/ui/")).status).toBe(200);
  await rename(built, `${built}-away`);
  const after = await get("/ui/assets/index-abc.js");
  await rename(`${built}-away`, built);
  expect(after.body.toString()).toBe(SCRIPT);
});

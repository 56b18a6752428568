/** A page in a real browser, of another origin than the broker's, calls it by connect-web. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, expect } from "vitest";
import { JobEventKind } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { API_TOKEN, startTestBroker } from "../support/broker.ts";
import { hasBrowser, launchBrowser } from "../support/browser.ts";
import { test } from "../support/db.ts";
import type { Seen } from "./browser/page.ts";

let page: { origin: string; close(): void };

beforeAll(async () => {
  if (hasBrowser) page = await servePage(await bundle());
});

afterAll(() => page?.close());

async function bundle(): Promise<string> {
  const built = await build({
    configFile: false,
    logLevel: "error",
    build: { write: false, lib: { entry: join(import.meta.dirname, "browser/page.ts"), formats: ["es"] } },
  });
  const [output] = [built].flat() as { output: { code?: string }[] }[];
  return output?.output[0]?.code ?? "";
}

async function servePage(script: string): Promise<typeof page> {
  const server = createServer((req, res) => {
    const isScript = req.url === "/page.js";
    res.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    res.end(isScript ? script : '<!doctype html><script type="module" src="/page.js"></script>');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${port}`, close: () => void server.close() };
}

/** What the page saw, opened in a browser of its own. */
async function visit(brokerUrl: string): Promise<Record<string, Seen | string>> {
  const browser = await launchBrowser();
  try {
    const tab = await browser.newPage();
    await tab.goto(page.origin);
    await tab.waitForFunction("typeof run === 'function'");
    return await tab.evaluate(`run(${JSON.stringify(brokerUrl)}, ${JSON.stringify(API_TOKEN)})`);
  } finally {
    await browser.close();
  }
}

test.runIf(hasBrowser)(
  "a page of an origin in CORS_ORIGINS dispatches, reads, watches and understands refusals",
  {
    timeout: 60_000,
  },
  async ({ db: _, url }) => {
    await using broker = await startTestBroker(url, { CORS_ORIGINS: `https://elsewhere.example,${page.origin}` });
    const seen: Seen = {
      payload: '{"image_path": "한글.png"}',
      kinds: [JobEventKind.CANCELLED],
      reason: "JOB_NOT_FOUND",
    };
    expect(await visit(broker.url)).toEqual({ connect: seen, "connect-binary": seen, "grpc-web": seen });
  },
);

test.runIf(hasBrowser)("the browser keeps a page of any other origin out", { timeout: 60_000 }, async ({ db, url }) => {
  await using broker = await startTestBroker(url, { CORS_ORIGINS: "https://elsewhere.example" });
  const failed = expect.stringContaining("Failed to fetch");
  expect(await visit(broker.url)).toEqual({ connect: failed, "connect-binary": failed, "grpc-web": failed });
  expect(await db.sql`SELECT FROM ai_job`).toHaveLength(0);
});

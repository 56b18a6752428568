/** A broker that goes away and comes back while the page is open, and a proxy that puts it behind a prefix. */
import http from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { test } from "./visit.ts";

test("the page says that the broker is away, and goes on by itself when it is back", async ({ url, visit }) => {
  await using first = await startTestBroker(url);
  await first.jobs.dispatch({ jobs: [{ type: "before" }] });
  const { page } = await visit(first.url);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.getByRole("rowheader", { name: "before" }).waitFor();

  await first.stop();
  await page.getByText("No connection").waitFor();
  // What was known stays in sight.
  await page.getByRole("rowheader", { name: "before" }).waitFor();

  await using second = await startTestBroker(url, { PORT: String(first.port) });
  await page.getByText("Live", { exact: true }).waitFor({ timeout: 20_000 });
  await second.jobs.dispatch({ jobs: [{ type: "after" }] });
  await page.getByRole("rowheader", { name: "after" }).waitFor();
}, 60_000);

test("a page that is opened while the broker is away signs in when it is there", async ({ url, visit }) => {
  await using first = await startTestBroker(url);
  const { page } = await visit(first.url);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.route("**/aibroker.v1.*/**", (route) => route.abort());
  await page.reload();
  await page.getByText("The broker does not answer").waitFor();
  await page.unroute("**/aibroker.v1.*/**");
  await page.getByText("Live", { exact: true }).waitFor({ timeout: 20_000 });
}, 40_000);

test("behind a prefix everything is found", async ({ url, visit }) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "a/b c" }] });
  await using proxy = await startProxy(broker.port, "/queue/one");
  const { page, calls } = await visit(`${proxy.url}/queue/one`, { hash: "#/jobs" });
  await page.getByRole("link", { name: "a/b c" }).click();
  await page.getByText("Dispatched").waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  expect(calls).toContain("JobService/GetJob");
  const bare = await fetch(`${proxy.url}/queue/one/ui`, { redirect: "manual" });
  expect(new URL(bare.headers.get("location") ?? "", bare.url).pathname).toBe("/queue/one/ui/");
});

/** Takes the prefix away, as nginx does with proxy_pass and a path. */
async function startProxy(port: number, prefix: string) {
  const server = http.createServer((req, res) => {
    const path = req.url?.startsWith(`${prefix}/`) ? req.url.slice(prefix.length) : undefined;
    if (path === undefined) return void res.writeHead(404).end();
    const passed = http.request({ port, path, method: req.method, headers: req.headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      res.flushHeaders();
      answer.pipe(res);
    });
    passed.on("error", () => res.destroy());
    res.on("close", () => passed.destroy());
    req.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

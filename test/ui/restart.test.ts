/** A broker that goes away and comes back while the page is open, and a proxy that puts it behind a prefix. */
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { Locator, Page } from "playwright-core";
import { expect } from "vitest";
import { startCli } from "../cli/run-cli.ts";
import { addressOf } from "../cli/with-broker.ts";
import { API_TOKEN, startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { givenJob } from "../support/jobs.ts";
import { test } from "./visit.ts";
import { claim } from "./work.ts";

test("each page says that the broker is away, and goes on by itself when it is back", async ({ url, visit }) => {
  await using first = await startTestBroker(url);
  await first.jobs.dispatch({ jobs: [{ type: "before", id: "before" }] });
  await claim(first, "before", { workerId: "early" });
  const pages: Page[] = [];
  for (const hash of ["#/", "#/jobs", "#/workers"]) pages.push((await visit(first.url, { hash })).page);
  const all = (see: (main: Locator, page: Page) => Locator) =>
    Promise.all(pages.map((page) => see(page.getByRole("main"), page).first().waitFor({ timeout: 20_000 })));
  await all((_, page) => page.getByText("Live", { exact: true }));
  await all((main) => main.getByText("before"));

  await first.stop();
  await all((_, page) => page.getByText("No connection"));
  // What was known stays in sight.
  await all((main) => main.getByText("before"));

  await using second = await startTestBroker(url, { PORT: String(first.port) });
  await all((_, page) => page.getByText("Live", { exact: true }));
  await second.jobs.dispatch({ jobs: [{ type: "after", id: "after" }] });
  await claim(second, "after", { workerId: "late" });
  await all((main) => main.getByText("after", { exact: true }));
}, 90_000);

test("a job's page outlives the SIGKILL of its broker", async ({ db, url, visit }) => {
  const env = { DATABASE_URL: url, INTERNAL_WORKER_TOKEN: WORKER_TOKEN, INTERNAL_API_TOKEN: API_TOKEN, PORT: "0" };
  const first = startCli(["serve"], { env });
  const address = await addressOf(first);
  await givenJob(db, { id: "kept" });
  const { page } = await visit(address, { hash: "#/jobs/kept" });
  const status = (name: string) => page.locator(".job-id").getByText(name).waitFor({ timeout: 20_000 });
  await page.getByText("Live", { exact: true }).waitFor();
  await status("Pending");
  first.child.kill("SIGKILL");
  await page.getByText("No connection").waitFor();
  await first.done;
  await status("Pending");

  await using second = await startTestBroker(url, { PORT: new URL(address).port });
  await claim(second, "ocr");
  await status("Running");
}, 90_000);

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

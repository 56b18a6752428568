import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, vi } from "vitest";
import { API_TOKEN, startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test, textOf, texts } from "./visit.ts";

afterEach(() => void vi.unstubAllEnvs());

/** EC2 with one instance, which is stopped; what it was asked for is written down. */
async function startEc2(id: string) {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    let form = "";
    for await (const chunk of request) form += String(chunk);
    asked.push(new URLSearchParams(form).get("Action") ?? "");
    response.writeHead(200, { "content-type": "text/xml" }).end(
      `<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>${id}</instanceId>
      <instanceState><code>80</code><name>stopped</name></instanceState>
      </item></instancesSet></item></reservationSet></DescribeInstancesResponse>`,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("what the broker is, how its database does and what it was set to, without a secret", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url, { LEASE_TTL_MS: "45000" });
  const { page } = await visit(broker.url, { hash: "#/system" });
  const { version, instanceId, postgresVersion } = await broker.admin.getServerInfo({});
  await page.getByText("durability").waitFor();
  const text = await textOf(page.getByRole("main"));
  for (const known of [broker.url, version, instanceId, postgresVersion]) expect(text).toContain(known);
  for (const secret of [API_TOKEN, WORKER_TOKEN]) expect(text).not.toContain(secret);
  await page.getByLabel("Find a setting").fill("LEASE_TTL");
  expect((await texts(page, ".settings > div"))[0]).toMatch(/^LEASE_TTL_MS .*45000$/);
});

test("a broker that starts no machines says so", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url, { hash: "#/system" });
  await page.getByText("EC2_WORKER_INSTANCE_IDS is not set").waitFor();
  expect(await page.getByRole("button", { name: "Start workers…" }).count()).toBe(0);
});

test("a dry run shows what the loop would have started, and that nothing was", async ({ db: _, url, visit }) => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "a").stubEnv("AWS_SECRET_ACCESS_KEY", "s");
  const id = "i-0123456789abcdef0";
  await using cloud = await startEc2(id);
  await using broker = await startTestBroker(url, {
    EC2_WORKER_INSTANCE_IDS: id,
    EC2_DRY_RUN: "true",
    EC2_ENDPOINT: cloud.url,
    // A need must last as long as a boot.
    EC2_BOOT_MS: "1",
  });
  const { page } = await visit(broker.url, { hash: "#/system" });
  await page.getByText("So far this broker would have started none").waitFor();
  await broker.jobs.dispatch({ jobs: [{ type: "ocr" }] });
  await page.locator(".starts li").waitFor({ timeout: 40_000 });
  expect(await texts(page, ".starts li")).toEqual([
    expect.stringMatching(/^i-0123456789abcdef0 would start loop · \d+ s ago 1 due job of ocr/),
  ]);
  expect(await textOf(page.getByRole("main"))).toContain("None has been started in the last 30 days");
  expect(cloud.asked).not.toContain("StartInstances");
}, 60_000);

test("machines are started by hand, each with what came of it", async ({ db: _, url, visit }) => {
  const ids = "i-0123456789abcdef0,i-0123456789abcdef1";
  await using broker = await startTestBroker(url, {
    EC2_WORKER_INSTANCE_IDS: ids,
    EC2_MAX_STARTS: "0",
    // Nobody listens there, so each start fails, in words.
    EC2_ENDPOINT: "http://127.0.0.1:9",
  });
  const { page } = await visit(broker.url, { hash: "#/system" });
  await page.getByRole("button", { name: "Start workers…" }).click();
  const dialog = page.getByRole("dialog", { name: "Start workers" });
  await dialog.getByLabel("i-0123456789abcdef1").uncheck();
  await dialog.getByRole("button", { name: "Start workers" }).click();
  await dialog.getByRole("button", { name: "Done" }).waitFor({ timeout: 25_000 });
  expect(await texts(page, ".dialog .starts li")).toEqual([
    expect.stringMatching(/^i-0123456789abcdef0 (DENIED|FAILED) /),
  ]);
}, 40_000);

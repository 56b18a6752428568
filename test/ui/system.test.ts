import { expect } from "vitest";
import { API_TOKEN, startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test, textOf, texts } from "./visit.ts";

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

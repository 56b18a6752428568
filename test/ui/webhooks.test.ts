import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { until } from "../support/until.ts";
import { startReceiver } from "../support/webhooks.ts";
import { test, textOf, texts } from "./visit.ts";
import { finish } from "./work.ts";

const OPEN = { WEBHOOK_ALLOW_HTTP: "true", WEBHOOK_ALLOW_PRIVATE: "true", WEBHOOK_POLL_MS: "50" };

test("without webhooks it says how to add one", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url, { hash: "#/webhooks" });
  await page.getByText("No endpoint is told of jobs").waitFor();
  expect((await texts(page, ".command code"))[0]).toContain("webhooks add");
});

test("one is added, shows its secret once, is tested, told again and removed", async ({ db, url, visit }) => {
  await using broker = await startTestBroker(url, OPEN);
  await using receiver = await startReceiver();
  const { page } = await visit(broker.url, { hash: "#/webhooks" });
  await page.getByRole("button", { name: "Add a webhook…" }).click();
  const adding = page.getByRole("dialog", { name: "Add a webhook" });
  await adding.getByLabel("URL").fill(receiver.url);
  await adding.getByLabel("Job types").fill("ocr");
  await adding.getByLabel("started").check();
  await adding.getByRole("button", { name: "Add a webhook" }).click();
  const secret = await textOf(page.getByRole("dialog").locator("code"));
  expect(secret).toMatch(/^whsec_/);
  await page.getByRole("button", { name: "Done", exact: true }).click();
  expect(await page.content()).not.toContain(secret);
  const [made] = (await broker.admin.listWebhooks({})).webhooks;
  expect(made).toMatchObject({ types: ["ocr"], kinds: ["done", "failed", "cancelled", "started"] });

  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByText(/The endpoint answered 204 in/).waitFor();
  expect(receiver.told.map(({ type }) => type)).toEqual(["webhook.test"]);

  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "told" }] });
  await finish(broker, "ocr");
  await until("it is told", () => receiver.told.length === 3);
  await page.getByRole("button", { name: "Send again…" }).click();
  const again = page.getByRole("dialog", { name: "Send again" });
  await again.getByLabel("Those of one job").check();
  await again.getByLabel("Job id").fill("told");
  await again.getByRole("button", { name: "Send again" }).click();
  await page.getByText("2 will be sent").waitFor();
  await until("it is told again", () => receiver.told.length === 5);

  await page.getByRole("button", { name: "Remove…" }).click();
  const removing = page.getByRole("dialog", { name: "Remove this webhook?" });
  await removing.getByRole("button", { name: "Remove" }).click();
  await page.getByText("No endpoint is told of jobs").waitFor();
  expect(await db.sql`SELECT FROM ai_webhook`).toHaveLength(0);
});

test("an endpoint that fails shows its error; a wrong address is refused in words", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url, OPEN);
  await using receiver = await startReceiver(() => ({ status: 500, body: "out of paper" }));
  await broker.admin.createWebhook({ url: receiver.url });
  await broker.jobs.dispatch({ jobs: [{ type: "ocr" }] });
  await finish(broker, "ocr");
  const { page } = await visit(broker.url, { hash: "#/webhooks" });
  await page.getByText("HTTP 500").waitFor();
  await page.getByText(/^(Failing|Pausing)$/).waitFor();
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByText(/The test failed \(HTTP 500\)/).waitFor();
  await page.getByRole("button", { name: "Add a webhook…" }).click();
  await page.getByLabel("URL").fill("ftp://example.com/x");
  await page.getByRole("dialog").getByRole("button", { name: "Add a webhook" }).click();
  await page.getByRole("dialog").getByRole("alert").filter({ hasText: "BAD_FIELD" }).waitFor();
});

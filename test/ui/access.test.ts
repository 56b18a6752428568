/** Every page for everybody: both themes, both languages, a phone, a keyboard, a screen reader's view. */
import { expect } from "vitest";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { openWork } from "../support/raw-work.ts";
import { until } from "../support/until.ts";
import { barriersOf, test, texts } from "./visit.ts";
import { claim, fail, finish } from "./work.ts";

/** Something of everything. */
async function givenWorld(broker: TestBroker): Promise<AsyncDisposable> {
  const jobs = ["bad", "good", "run"].map((type) => ({ type, id: type, payloadJson: '{"a": {"b": {"c": [1]}}}' }));
  await broker.jobs.dispatch({ jobs });
  await fail(broker, "bad", { error: "it broke" });
  await finish(broker, "good", { result: '{"text": "ok", "score": 1.5, "none": null}' });
  await claim(broker, "run");
  await broker.jobs.dispatch({ jobs: [{ type: "wait", id: "wait" }] });
  await broker.admin.pauseType({ type: "wait" });
  await broker.admin.createWebhook({ url: "https://example.com/hook" });
  const stream = await openWork(broker.url);
  await stream.hello({ workerId: "streamer", types: ["ocr"], maxInFlight: 4 });
  return stream;
}

const PAGES = {
  "#/": "paused",
  "#/jobs": "wait",
  "#/jobs/good": "Dispatched",
  "#/workers": "streamer",
  "#/webhooks": "https://example.com/hook",
  "#/system": "durability",
};

test.for(["light", "dark"] as const)(
  "axe finds no barrier on any page, %s",
  { timeout: 90_000 },
  async (theme, { db: _, url, visit }) => {
    await using broker = await startTestBroker(url);
    await using _stream = await givenWorld(broker);
    const { page } = await visit(broker.url, { theme });
    const found: string[] = [];
    for (const [hash, shown] of Object.entries(PAGES)) {
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
      await page.getByRole("main").getByText(shown).first().waitFor();
      found.push(...(await barriersOf(page)).map((barrier) => `${hash} ${barrier}`));
    }
    await page.evaluate('location.hash = "#/jobs"');
    await page.getByRole("button", { name: "Cancel jobs…" }).click();
    await page.getByRole("dialog").getByText("jobs").first().waitFor();
    found.push(...(await barriersOf(page)).map((barrier) => `dialog ${barrier}`));
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API token").waitFor();
    found.push(...(await barriersOf(page)).map((barrier) => `login ${barrier}`));
    expect(found).toEqual([]);
    // It is not blind.
    await page.evaluate("document.querySelector('h1').style.color = '#888d'");
    expect((await barriersOf(page)).join()).toMatch(/^color-contrast/);
  },
);

test("the theme follows the system until it is chosen, and the choice stays", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url, { theme: "dark" });
  const ground = async () =>
    (await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")) as string;
  await page.getByText("Live", { exact: true }).waitFor();
  const dark = await ground();
  await page.getByLabel("Light", { exact: true }).check({ force: true });
  const light = await ground();
  expect(light).not.toBe(dark);
  await page.reload();
  await page.getByText("Live", { exact: true }).waitFor();
  expect(await ground()).toBe(light);
});

test("a Korean browser gets Korean, and the switch changes every word", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url, { locale: "ko-KR" });
  await page.getByRole("heading", { name: "개요" }).waitFor();
  expect(await page.locator("html").getAttribute("lang")).toBe("ko");
  expect(await texts(page, "nav a")).toEqual(["개요", "작업", "워커", "웹훅", "시스템"]);
  await page.getByLabel("English").check({ force: true });
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  expect(await page.title()).toBe("Overview · ai-job-broker");
});

test("on a phone no page is wider than the screen", { timeout: 60_000 }, async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  await using _stream = await givenWorld(broker);
  const { page } = await visit(broker.url, { width: 360 });
  for (const [hash, shown] of Object.entries(PAGES)) {
    await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
    await page.getByRole("main").getByText(shown).first().waitFor();
    expect(await page.evaluate("document.documentElement.scrollWidth"), hash).toBeLessThanOrEqual(360);
  }
});

test("the keyboard alone signs in, goes to a page and sees where it is", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.keyboard.press("Tab");
  expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the page");
  await page.keyboard.press("Enter");
  expect(await page.evaluate("document.activeElement.id")).toBe("main");
  await page.getByRole("link", { name: "Workers" }).focus();
  const outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle");
  expect(outline).toBe("solid");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Workers" }).waitFor();
  await until(
    "the heading has the focus",
    async () => (await page.evaluate("document.activeElement.tagName")) === "H1",
  );
});

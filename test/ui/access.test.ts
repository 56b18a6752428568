/** Every page for everybody: both themes, both languages, a phone, a keyboard, a screen reader's view. */
import type { Page } from "playwright-core";
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

/** Each with something that it shows in every language. */
const PAGES = {
  "#/": "wait",
  "#/jobs": "wait",
  "#/jobs/good": "score",
  "#/workers": "streamer",
  "#/webhooks": "https://example.com/hook",
  "#/system": "durability",
};

/** Pages that say what to do where there is nothing yet. */
const EMPTY = ["#/", "#/jobs", "#/workers", "#/webhooks"];

/** The dialogs, by the button that opens each. */
const DIALOGS: [hash: string, button: string, shown: string][] = [
  ["#/jobs", "Cancel jobs…", "2 jobs"],
  ["#/jobs", "Priority…", "1 job"],
  ["#/", "Pause", "Nobody gets a job"],
  ["#/webhooks", "Add a webhook…", "Job types"],
];

async function goTo(page: Page, hash: string, shown: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await page.getByRole("main").getByText(shown).first().waitFor();
}

test.for(["light", "dark"] as const)(
  "axe finds no barrier on any page, empty or full, in its dialogs and filters, %s",
  { timeout: 120_000 },
  async (theme, { db: _, url, visit }) => {
    await using broker = await startTestBroker(url);
    const { page } = await visit(broker.url, { theme });
    const found: string[] = [];
    const look = async (where: string) =>
      void found.push(...(await barriersOf(page)).map((barrier) => `${where} ${barrier}`));
    for (const hash of EMPTY) {
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
      await page.locator(".empty").waitFor();
      await look(`empty ${hash}`);
    }
    await using _stream = await givenWorld(broker);
    for (const [hash, shown] of Object.entries(PAGES)) {
      await goTo(page, hash, shown);
      if (hash === "#/jobs") await page.locator(".filter [aria-expanded]").click();
      await look(hash);
    }
    for (const [hash, button, shown] of DIALOGS) {
      await goTo(page, hash, button);
      await page.getByRole("button", { name: button, exact: true }).first().click();
      await page.getByRole("dialog").getByText(shown).first().waitFor();
      await look(`${button} ${hash}`);
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
    }
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API token").waitFor();
    await look("login");
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

test("on a phone no page is wider than the screen in either language, and axe finds no barrier in Korean", {
  timeout: 90_000,
}, async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  await using _stream = await givenWorld(broker);
  const { page } = await visit(broker.url, { width: 360, locale: "ko-KR" });
  const found: string[] = [];
  for (const [hash, shown] of Object.entries(PAGES)) {
    await goTo(page, hash, shown);
    if (hash === "#/jobs") await page.locator(".filter [aria-expanded]").click();
    found.push(...(await barriersOf(page)).map((barrier) => `${hash} ${barrier}`));
    for (const language of ["English", "한국어"]) {
      await page.getByLabel(language).check({ force: true });
      expect(await page.evaluate("document.documentElement.scrollWidth"), hash).toBeLessThanOrEqual(360);
    }
  }
  expect(found).toEqual([]);
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

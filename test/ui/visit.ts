/** The dashboard in a browser, as a person opens it; whatever goes wrong in it is written down. */
import axe from "axe-core";
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { expect } from "vitest";
import { buildUi } from "../../scripts/build-ui.ts";
import { API_TOKEN } from "../support/broker.ts";
import { hasBrowser, launchBrowser } from "../support/browser.ts";
import { test as withDatabase } from "../support/db.ts";

export interface Visit {
  page: Page;
  /** Errors in the console, breaches of the policy, requests to elsewhere. */
  faults: string[];
  /** The calls that were made, for example JobService/GetJob. */
  calls: string[];
}

export interface VisitOptions {
  /** Behind /ui/, for example #/jobs. */
  hash?: string;
  /** Empty: nobody is signed in. */
  token?: string;
  theme?: "light" | "dark";
  locale?: string;
  width?: number;
}

interface BrowserFixtures {
  browser: Browser;
  /** Opens the dashboard of the broker at this address. The test fails when something went wrong in it. */
  visit: (brokerUrl: string, options?: VisitOptions) => Promise<Visit>;
}

const extended = withDatabase.extend<BrowserFixtures>({
  browser: [
    async ({}, use) => {
      await buildUi();
      const browser = await launchBrowser();
      await use(browser);
      await browser.close();
    },
    { scope: "file" },
  ],
  visit: async ({ browser }, use) => {
    const opened: { visit: Visit; context: BrowserContext }[] = [];
    await use(async (brokerUrl, options = {}) => {
      const one = await open(browser, brokerUrl, options);
      opened.push(one);
      return one.visit;
    });
    for (const { context } of opened) await context.close();
    for (const { visit } of opened) expect(visit.faults).toEqual([]);
  },
});

/** `test` with a browser; skipped where there is none. */
export const test = extended.runIf(hasBrowser) as typeof extended;

async function open(browser: Browser, brokerUrl: string, options: VisitOptions) {
  const { hash = "", token = API_TOKEN, theme = "light", locale = "en-GB", width = 1280 } = options;
  const context = await browser.newContext({ locale, colorScheme: theme, viewport: { width, height: 860 } });
  if (token !== "") {
    // Once, as a person signs in: a sign-out must hold over a reload.
    const keep = `if (!sessionStorage.getItem("visited")) {
      sessionStorage.setItem("visited", "1");
      sessionStorage.setItem("ai-job-broker.token", ${JSON.stringify(token)});
    }`;
    await context.addInitScript({ content: keep });
  }
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const visit: Visit = { page, faults: [], calls: [] };
  await watch(visit, new URL(brokerUrl).origin);
  await page.goto(`${brokerUrl}/ui/${hash}`);
  return { visit, context };
}

async function watch({ page, faults, calls }: Visit, origin: string): Promise<void> {
  await page.addInitScript({
    content: `document.addEventListener("securitypolicyviolation", (event) =>
      console.error("policy: " + event.violatedDirective + " " + event.blockedURI));`,
  });
  page.on("pageerror", (error) => faults.push(`thrown: ${error.message}`));
  page.on("console", (message) => {
    // Chromium writes a line for each answer that is an error; what the page makes of it is what counts.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      faults.push(message.text());
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin && !["data:", "blob:"].includes(url.protocol)) faults.push(`a request to ${url.href}`);
    const method = /aibroker\.v1\.(\w+\/\w+)$/.exec(url.pathname)?.[1];
    if (method !== undefined) calls.push(method);
  });
}

/** What axe finds wrong with the page as it is now, each with the first place. */
export async function barriersOf(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = (await page.evaluate(
    `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })`,
  )) as { violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] };
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
}

/** The text of an element as it is drawn, on one line. */
export async function textOf(locator: Locator): Promise<string> {
  await locator.first().waitFor();
  return oneLine((await locator.allInnerTexts())[0] ?? "");
}

/** The texts of the elements that are there now, each on one line. */
export async function texts(page: Page, selector: string): Promise<string[]> {
  const found = await page.locator(selector).allInnerTexts();
  return found.map(oneLine);
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

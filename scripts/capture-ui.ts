/**
 * Takes pictures of the dashboard of a busy broker: `node scripts/capture-ui.ts` writes the two that the README shows, to
 * docs/images; `node scripts/capture-ui.ts FOLDER` all pages there, in both themes and as a phone shows them.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { launchBrowser } from "../test/support/browser.ts";
import { buildUi } from "./build-ui.ts";
import { openScene, type Scene } from "./ui-scene.ts";

interface Look {
  theme: "light" | "dark";
  width: number;
  height: number;
}

const IMAGES = fileURLToPath(new URL("../docs/images", import.meta.url));
const LOOKS: Record<string, Look> = {
  light: { theme: "light", width: 1280, height: 860 },
  dark: { theme: "dark", width: 1280, height: 860 },
  phone: { theme: "light", width: 390, height: 844 },
};

/** Each page with what shows that it is there. */
function placesOf({ jobId }: Scene): Record<string, { hash: string; shown: string }> {
  return {
    overview: { hash: "#/", shown: "canvas" },
    jobs: { hash: "#/jobs", shown: ".cell-id a" },
    job: { hash: `#/jobs/${jobId}`, shown: ".timeline" },
    workers: { hash: "#/workers", shown: ".leases" },
    webhooks: { hash: "#/webhooks", shown: ".webhook" },
    system: { hash: "#/system", shown: ".health li" },
  };
}

async function openPage(browser: Browser, { url, apiToken }: Scene, { theme, width, height }: Look): Promise<Page> {
  const context = await browser.newContext({ locale: "en-GB", colorScheme: theme, viewport: { width, height } });
  const page = await context.newPage();
  await page.goto(`${url}/ui/`);
  await page.getByLabel("API token").fill(apiToken);
  await page.keyboard.press("Enter");
  await page.getByText("Live", { exact: true }).waitFor();
  return page;
}

async function show(page: Page, { hash, shown }: { hash: string; shown: string }): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await page.locator(shown).first().waitFor();
}

/** What a job names and is not shown by itself. */
async function showPictures(page: Page): Promise<void> {
  for (const button of await page.getByRole("button", { name: "Show the picture" }).all()) {
    await button.click();
    await page.waitForFunction("document.querySelector('.json-picture')?.naturalWidth > 0");
    // The click may have scrolled there.
    await page.evaluate("scrollTo(0, 0)");
  }
}

async function captureAll(browser: Browser, scene: Scene, folder: string): Promise<void> {
  for (const [name, look] of Object.entries(LOOKS)) {
    const page = await openPage(browser, scene, look);
    for (const [place, to] of Object.entries(placesOf(scene))) {
      await show(page, to);
      await showPictures(page);
      await page.screenshot({ path: join(folder, `${place}-${name}.png`), fullPage: true });
    }
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API token").waitFor();
    await page.screenshot({ path: join(folder, `login-${name}.png`) });
    await page.context().close();
  }
}

/** One in each theme. */
async function captureForReadme(browser: Browser, scene: Scene, folder: string): Promise<void> {
  const { overview, job } = placesOf(scene);
  for (const [name, place, theme, height] of [
    ["overview", overview, "light", 724],
    ["job", job, "dark", 784],
  ] as const) {
    const page = await openPage(browser, scene, { theme, width: 1280, height });
    await show(page, place ?? { hash: "#/", shown: "main" });
    await page.screenshot({ path: join(folder, `${name}.png`) });
    await page.context().close();
  }
}

const [given] = process.argv.slice(2);
const folder = given ?? IMAGES;
await mkdir(folder, { recursive: true });
await buildUi();
await using scene = await openScene();
const browser = await launchBrowser();
try {
  await (given === undefined ? captureForReadme : captureAll)(browser, scene, folder);
} finally {
  await browser.close();
}
console.log(`the pictures are in ${folder}`);

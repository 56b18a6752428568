/** Debian's Chromium, for tests of pages. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const BROWSER = "/usr/bin/chromium";

export const hasBrowser = existsSync(BROWSER);
if (!hasBrowser)
  process.stderr.write(`pages in a browser are skipped: there is no ${BROWSER}; on Debian: apt-get install chromium\n`);

/** Without these it looks up its maker's hosts at every start, and draws like a screen that nobody looks at. */
const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-gpu-rasterization",
  "--disable-gpu-compositing",
  "--disable-software-rasterizer",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The caller closes it. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: BROWSER, args: QUIET });
}

/**
 * What npm runs after an install in a checkout: the dashboard is built, so that the first start has it. Plain JavaScript,
 * since it may run on any Node; where it cannot build it says so and lets the install be.
 */
import { existsSync } from "node:fs";
import { isAtLeast, SOURCE_FLOOR } from "../bin/choose.js";

const NEEDED = ["vite", "preact", "@preact/signals", "uplot", "@connectrpc/connect-web"];
const missing = NEEDED.filter((name) => !existsSync(new URL(`../node_modules/${name}`, import.meta.url)));

try {
  if (missing.length > 0) {
    console.log(`the dashboard is not built: ${missing.join(", ")} not installed (a devDependency)`);
  } else if (!isAtLeast(process.versions.node, SOURCE_FLOOR)) {
    console.log(`the dashboard is not built: this is Node ${process.versions.node}; run: npm run build:ui`);
  } else {
    const { buildUi } = await import("./build-ui.ts");
    await buildUi();
  }
} catch (error) {
  console.error("the dashboard is not built; npm run build:ui tells why:", error);
}

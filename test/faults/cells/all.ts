/** Every cell, in the order in which they run: those of one world come together. */
import type { Cell } from "../cell.ts";
import { CLUSTERS } from "./clusters.ts";
import { DATABASE } from "./database.ts";
import { HAND_OFFS } from "./hand-offs.ts";
import { KILLS } from "./kills.ts";
import { LOADS } from "./load.ts";
import { NETWORK } from "./network.ts";
import { REPORTS } from "./reports.ts";
import { RESTARTS } from "./restarts.ts";
import { VERSIONS } from "./versions.ts";
import { WEBHOOKS } from "./webhooks.ts";

const all = [
  ...KILLS,
  ...NETWORK,
  ...HAND_OFFS,
  ...RESTARTS,
  ...DATABASE,
  ...REPORTS,
  ...WEBHOOKS,
  ...CLUSTERS,
  ...LOADS,
  ...VERSIONS,
];

export const CELLS: readonly Cell[] = [
  ...all.filter(({ world }) => world === undefined),
  ...all.filter(({ world }) => world !== undefined),
];

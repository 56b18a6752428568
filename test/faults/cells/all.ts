/** Every cell, in the order in which they run: those of one world come together. */
import type { Cell } from "../cell.ts";
import { DATABASE } from "./database.ts";
import { KILLS } from "./kills.ts";
import { NETWORK } from "./network.ts";
import { REPORTS } from "./reports.ts";
import { RESTARTS } from "./restarts.ts";

const all = [...KILLS, ...NETWORK, ...RESTARTS, ...DATABASE, ...REPORTS];

export const CELLS: readonly Cell[] = [
  ...all.filter(({ world }) => world === undefined),
  ...all.filter(({ world }) => world !== undefined),
];

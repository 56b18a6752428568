/** The news of leases, for moves without streams. */
import type { LeaseNews } from "../../src/dispatch/lease-news.ts";

export const NO_NEWS: LeaseNews = { settled: () => undefined, lost: () => undefined, cancelled: () => undefined };

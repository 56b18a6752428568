/** The stream of numbers: open while somebody is signed in and looks, so that a forgotten tab costs nothing. */
import { effect, signal } from "@preact/signals";
import type { StatsNow } from "../../src/gen/aibroker/v1/stats_pb.ts";
import { admin } from "../wire/calls.ts";
import { msOf } from "../wire/convert.ts";
import { follow, type Link } from "../wire/follow.ts";
import { learnDatabaseTime } from "./clock.ts";
import { lookAgain, session, signOut } from "./session.ts";
import { visible } from "./visible.ts";

/** The newest numbers; undefined until the first have come. Kept while the stream is away. */
export const stats = signal<StatsNow | undefined>(undefined);

/** How the page stands to the broker. */
export const link = signal<Link>({ kind: "connecting" });

const hurry = { now: new AbortController() };

/** Ends a wait for the next try. */
export function retryNow(): void {
  hurry.now.abort();
}

addEventListener("online", retryNow);

/** Starts and ends the stream as sessions come and go. */
export function keepStatsLive(): void {
  effect(() => {
    const { kind } = session.value;
    if (kind === "out") stats.value = undefined;
    if (kind !== "in" || !visible.value) return undefined;
    const leave = new AbortController();
    void follow({
      open: (signal) => admin.watchStats({}, { signal }),
      take: ({ frame }) => {
        if (frame.case !== "stats") return;
        learnDatabaseTime(msOf(frame.value.countedAt));
        stats.value = frame.value;
      },
      link: (now) => {
        if (now.kind === "live" && link.peek().kind === "waiting") void lookAgain();
        link.value = now;
        if (now.kind === "refused" && now.error.code === "UNAUTHENTICATED") signOut(now.error);
      },
      signal: leave.signal,
      hurry: () => {
        hurry.now = new AbortController();
        return hurry.now.signal;
      },
    });
    return () => leave.abort();
  });
}

/** A CPU profile that a process of a bench takes of itself. */
import { Session } from "node:inspector/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { type CpuProfile, EVERY_US, type Profiled } from "./cpu-profile.ts";

let session: Session | undefined;
const delay = monitorEventLoopDelay({ resolution: 1 });

export const ownProfile = {
  async startProfile(): Promise<void> {
    session = new Session();
    session.connect();
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: EVERY_US });
    await session.post("Profiler.start");
    delay.reset();
    delay.enable();
  },
  async takeProfile(): Promise<Profiled> {
    delay.disable();
    if (session === undefined) throw new Error("no profile was begun");
    const { profile } = (await session.post("Profiler.stop")) as { profile: CpuProfile };
    session.disconnect();
    session = undefined;
    // Its own millisecond is in it.
    return { profile, loopDelayMs: delay.percentile(99) / 1e6 };
  },
};

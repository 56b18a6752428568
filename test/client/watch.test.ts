/** client.watch against a broker that does as it is told: what every transport must do. */
import { randomBytes } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { createClient, type Watch } from "../../src/client/index.ts";
import { JobEventKind } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { until } from "../support/until.ts";
import { fakeBroker } from "./fake-broker.ts";
import { cutOff, refusal, watchesOf, words } from "./fake-watch.ts";

const next = async (watch: Watch) => words((await watch.next()).value ?? undefined);
const filter = { types: ["ocr"] };

for (const transport of ["grpc-js", "connect"] as const)
  describe(`over ${transport}`, () => {
    async function given() {
      const broker = await fakeBroker();
      const watches = watchesOf(broker);
      const client = createClient({ url: broker.url, token: "t", transport });
      const asyncDispose = async () => {
        client.close();
        await broker.stop();
      };
      return { broker, watches, client, [Symbol.asyncDispose]: asyncDispose };
    }

    test("the state comes first, then changes, in plain values", async () => {
      await using at = await given();
      const watch = at.client.watch({ ...filter, jobIds: ["a"], tenantId: "t", sourceDomain: "exams", sourceId: "7" });
      const first = watch.next();
      const fake = await at.watches.take();
      expect(fake.request).toMatchObject({
        jobIds: ["a"],
        types: ["ocr"],
        tenantId: "t",
        sourceDomain: "exams",
        sourceId: "7",
        cursor: "",
        changesOnly: false,
      });
      fake
        .state(["a"], "c1", { unknownJobIds: ["b"] })
        .changes(["a/3"], "c2", JobEventKind.FAILED)
        .heartbeat("c3");
      expect((await first).value).toEqual({
        kind: "state",
        jobs: [
          {
            jobId: "a",
            type: "ocr",
            status: "RUNNING",
            attempts: 1,
            tenantId: undefined,
            sourceDomain: undefined,
            sourceId: undefined,
            workerId: undefined,
            error: undefined,
            seq: 2,
            updatedAt: undefined,
          },
        ],
        unknownJobIds: ["b"],
        cursorExpired: false,
        cursor: "c1",
      });
      expect((await watch.next()).value).toMatchObject({
        kind: "changes",
        changes: [{ eventId: "a/3", jobId: "a", kind: "FAILED", status: "FAILED", seq: 3 }],
        cursor: "c2",
      });
      expect(await next(watch)).toBe("heartbeat @c3");
    });

    test("after a break it goes on behind the last frame: after a change too, and after a heartbeat", async () => {
      await using at = await given();
      const watch = at.client.watch(filter);
      const told = (async () => [await next(watch), await next(watch), await next(watch), await next(watch)])();
      (await at.watches.take()).state(["a"], "c1").changes(["a/3"], "c2").end(cutOff());
      const second = await at.watches.take();
      expect(second.request.cursor).toBe("c2");
      second.heartbeat("c3").end(refusal(Code.Unavailable, "SHUTTING_DOWN"));
      const third = await at.watches.take();
      expect(third.request.cursor).toBe("c3");
      third.changes(["a/4"], "c4");
      expect(await told).toEqual(["state a @c1", "a/3 @c2", "heartbeat @c3", "a/4 @c4"]);
    });

    test("a state that breaks off in the middle is told once, as a whole", async () => {
      await using at = await given();
      const watch = at.client.watch(filter);
      const first = next(watch);
      (await at.watches.take()).state(["a", "b"]).end(cutOff());
      const second = await at.watches.take();
      expect(second.request.cursor).toBe("");
      second.state(["a", "b"]).state(["c"], "c1");
      expect(await first).toBe("state a,b,c @c1");
    });

    test("a stream that falls silent is left for another one", async () => {
      await using at = await given();
      const watch = at.client.watch(filter, { silenceMs: 200 });
      const told = (async () => [await next(watch), await next(watch)])();
      const silent = (await at.watches.take()).state(["a"], "c1");
      const second = await at.watches.take();
      expect(second.request.cursor).toBe("c1");
      second.changes(["a/3"], "c2");
      expect(await told).toEqual(["state a @c1", "a/3 @c2"]);
      await silent.left;
    });

    test("so is one that never begins", async () => {
      await using at = await given();
      const watch = at.client.watch(filter, { silenceMs: 200 });
      const first = next(watch);
      await at.watches.take();
      (await at.watches.take()).state([], "c1");
      expect(await first).toBe("state  @c1");
    });

    test("a reader that takes its time is no silence: what came meanwhile is there when it comes back", async () => {
      await using at = await given();
      const slow = at.client.watch(filter, { silenceMs: 100 });
      const begun = next(slow);
      const fake = (await at.watches.take()).state(["a"], "c1");
      expect(await begun).toBe("state a @c1");
      // Two silences of another watch pass meanwhile.
      await using other = at.client.watch(filter, { silenceMs: 100 });
      const never = other.next();
      for (let count = 0; count < 3; count += 1) await at.watches.take();
      fake.changes(["a/3"], "c2");
      expect(await next(slow)).toBe("a/3 @c2");
      await other.return();
      expect((await never).done).toBe(true);
    });

    test("what nobody asks for stays with the broker, and comes in order when it is asked for", async () => {
      await using at = await given();
      let made = 0;
      // 120 kB that do not shrink on the wire.
      const noise = randomBytes(90_000).toString("base64");
      at.broker.jobs.watchJobs = async function* () {
        for (;;) {
          made += 1;
          yield { frame: { case: "changes", value: { events: [{ error: noise }] } }, cursor: String(made) };
        }
      };
      await using watch = at.client.watch(filter);
      expect((await watch.next()).value).toMatchObject({ cursor: "1" });
      let last = { made: 0, times: 0 };
      await until("the broker is held up", () => {
        last = made === last.made ? { made, times: last.times + 1 } : { made, times: 0 };
        return last.times >= 20;
      });
      const held = made;
      expect(held).toBeLessThan(80);
      for (let count = 2; count <= held + 5; count += 1) {
        expect((await watch.next()).value?.cursor).toBe(String(count));
      }
    });

    test.each([
      ["break", (watch: Watch) => watch.return()],
      ["the signal", (_: Watch, stop: AbortController) => stop.abort()],
    ] as const)("%s ends the stream at once, also while an update is waited for", async (_, leave) => {
      await using at = await given();
      const stop = new AbortController();
      const watch = at.client.watch(filter, { signal: stop.signal });
      const first = next(watch);
      const fake = (await at.watches.take()).state([], "c1");
      await first;
      const never = watch.next();
      void leave(watch, stop);
      expect((await never).done).toBe(true);
      expect((await watch.next()).done).toBe(true);
      await fake.left;
    });

    test("a loop that is left by break or by an error leaves the stream", async () => {
      await using at = await given();
      const broken = (async () => {
        for await (const update of at.client.watch(filter)) if (update.kind === "state") break;
      })();
      const first = (await at.watches.take()).state([], "c1");
      await broken;
      await first.left;
      const failed = (async () => {
        for await (const update of at.client.watch(filter)) throw new Error(update.kind);
      })();
      const second = (await at.watches.take()).state([], "c1");
      await expect(failed).rejects.toThrow("state");
      await second.left;
    });
  });

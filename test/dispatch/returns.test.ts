import pino from "pino";
import { describe, expect, test } from "vitest";
import { Returns } from "../../src/dispatch/returns.ts";
import { givenSessions, ref } from "./fake-streams.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A database that is away until told, and may keep its callers waiting. */
function given() {
  const back: string[] = [];
  const lines: { worker?: string; leases?: number }[] = [];
  const store = { away: true, calls: 0, gate: undefined as Promise<void> | undefined };
  const returns = new Returns({
    async giveBack(workerId, leases) {
      store.calls++;
      await store.gate;
      if (store.away) throw new Error("away");
      back.push(...leases.map(({ jobId }) => `${workerId} ${jobId}`));
    },
    log: pino({ level: "trace" }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
  });
  return { returns, back, lines, store };
}

describe("what cannot be given back while the database is away", () => {
  test("is told of and kept, and given back by the first try that succeeds, once", async () => {
    const { returns, back, lines, store } = given();
    await returns.giveBack("w1", [ref("x"), ref("y")]);
    await returns.giveBack("w2", [ref("z")]);
    expect(lines).toMatchObject([
      { worker: "w1", leases: 2 },
      { worker: "w2", leases: 1 },
    ]);
    await returns.retry();
    expect([back, store.calls]).toEqual([[], 4]);
    store.away = false;
    await returns.retry();
    expect(back.toSorted()).toEqual(["w1 x", "w1 y", "w2 z"]);
    await returns.retry();
    expect([back.length, store.calls]).toEqual([3, 6]);
  });

  test("is waited for by whoever asks while it is being given back", async () => {
    const { returns, back, store } = given();
    await returns.giveBack("w1", [ref("x")]);
    const gate = Promise.withResolvers<void>();
    Object.assign(store, { away: false, gate: gate.promise });
    void returns.retry();
    let wasBack = false;
    const second = returns.retry().then(() => {
      wasBack = back.length === 1;
    });
    await turn();
    gate.resolve();
    await second;
    expect([wasBack, store.calls]).toEqual([true, 2]);
  });

  test("does not hold up what can be given back meanwhile", async () => {
    const { returns, back, store } = given();
    await returns.giveBack("w1", [ref("x")]);
    store.away = false;
    await returns.giveBack("w2", [ref("y")]);
    expect(back).toEqual(["w2 y"]);
  });
});

test("the jobs of a stream that ended meanwhile are among them", async () => {
  const store = { away: true };
  const { sessions, open, released } = givenSessions({
    giveBack: async () => {
      if (store.away) throw new Error("away");
    },
  });
  const { session, lease } = open();
  sessions.deliver([lease("x")]);
  await sessions.end(session, null);
  expect([released, sessions.count]).toEqual([[], 0]);
  store.away = false;
  await sessions.retryOwed();
  expect(released).toEqual(["x"]);
});

import { expect, test } from "vitest";
import { retrying, sqlState } from "../../src/store/retry-statement.ts";

const failure = (code: string) => Object.assign(new Error(code), { code });

/** Fails with each code in turn, then answers. */
function failing(...codes: string[]): { run: () => Promise<string>; calls: () => number } {
  let calls = 0;
  return {
    calls: () => calls,
    run: async () => {
      const code = codes[calls++];
      if (code !== undefined) throw failure(code);
      return "done";
    },
  };
}

test("a deadlock, a serialization failure and a lock timeout are tried again", async () => {
  const { run, calls } = failing("40P01", "40001", "55P03");
  const retries: number[] = [];
  expect(await retrying(run, { pauseMs: 0, onRetry: (_error, tried) => void retries.push(tried) })).toBe("done");
  expect(calls()).toBe(4);
  expect(retries).toEqual([1, 2, 3]);
});

test("any other error is thrown at once, as it came", async () => {
  const { run, calls } = failing("23505");
  await expect(retrying(run)).rejects.toMatchObject({ code: "23505" });
  expect(calls()).toBe(1);
});

test("the last of the tries throws", async () => {
  const { run, calls } = failing("40P01", "40P01", "55P03");
  await expect(retrying(run, { tries: 3, pauseMs: 0 })).rejects.toMatchObject({ code: "55P03" });
  expect(calls()).toBe(3);
});

test("an aborted caller is not kept", async () => {
  const stop = new AbortController();
  const { run, calls } = failing("40P01", "40P01");
  const waiting = retrying(run, {
    pauseMs: 60_000,
    maxPauseMs: 60_000,
    signal: stop.signal,
    onRetry: () => stop.abort(),
  });
  await expect(waiting).rejects.toThrow();
  expect(calls()).toBe(1);
});

test("the code is found also when a library has wrapped the error", () => {
  expect(sqlState(new Error("Failed query", { cause: failure("55P03") }))).toBe("55P03");
  expect(sqlState(failure("ECONNREFUSED"))).toBeUndefined();
  expect(sqlState("nothing")).toBeUndefined();
});

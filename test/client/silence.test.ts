/** Streams that fall silent. */
import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { unlessSilent } from "../../src/client/silence.ts";
import { Mailbox } from "./mailbox.ts";

/** A source that heeds no signal. */
function deaf(messages: Mailbox<string>) {
  const told: AbortSignal[] = [];
  const open = (signal: AbortSignal) => {
    told.push(signal);
    return messages;
  };
  return { told, open };
}

test("a stream that says nothing is given up and told to end, even if it hears nothing", async () => {
  const { told, open } = deaf(new Mailbox());
  const { signal } = new AbortController();
  const stream = unlessSilent(open, { silenceMs: 50, signal });
  await expect(stream.next()).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: "nothing came from the broker for 50 ms",
  });
  expect(told[0]?.aborted).toBe(true);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

test("once its signal is aborted nothing more is read, whatever is still there", async () => {
  const messages = new Mailbox<string>();
  messages.put("a");
  messages.put("b");
  const { told, open } = deaf(messages);
  const stop = new AbortController();
  const stream = unlessSilent(open, { silenceMs: 60_000, signal: stop.signal });
  expect((await stream.next()).value).toBe("a");
  stop.abort();
  expect(told[0]?.aborted).toBe(true);
  await expect(stream.next()).rejects.toMatchObject({ code: "CANCELLED" });
});

test("while each message comes in time it goes on, and it ends as its source does", async () => {
  const messages = new Mailbox<string>();
  const { told, open } = deaf(messages);
  for (const word of ["a", "b", "c"]) messages.put(word);
  messages.end();
  const { signal } = new AbortController();
  const read: string[] = [];
  for await (const word of unlessSilent(open, { silenceMs: 50, signal })) read.push(word);
  expect(read).toEqual(["a", "b", "c"]);
  expect(told[0]?.aborted).toBe(true);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

test("an event loop that was held up is no silence: what waits in the socket is read first", async () => {
  const messages = new Mailbox<string>();
  const { open } = deaf(messages);
  const stream = unlessSilent(open, { silenceMs: 90, signal: new AbortController().signal });
  const first = stream.next();
  const heldUntil = performance.now() + 200;
  while (performance.now() < heldUntil);
  // As the socket's turn comes: after that of the timers.
  setImmediate(() => setImmediate(() => messages.put("late")));
  expect((await first).value).toBe("late");
});

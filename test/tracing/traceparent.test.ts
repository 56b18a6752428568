import { expect, test } from "vitest";
import { registeredApi } from "../../src/tracing/api.ts";
import { activeTraceparent, inSpan, isTracing, startSpan } from "../../src/tracing/spans.ts";
import { isSampled, readTraceparent, writeTraceparent } from "../../src/tracing/traceparent.ts";
import { recordSpans } from "./recorded-spans.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

test("what is read is written the same", () => {
  const read = readTraceparent(`00-${TRACE}-${SPAN}-01`);
  expect(read).toEqual({ traceId: TRACE, spanId: SPAN, traceFlags: 1, isRemote: true });
  expect(read && writeTraceparent(read)).toBe(`00-${TRACE}-${SPAN}-01`);
});

test.each([
  ["", "empty"],
  [`00-${TRACE}-${SPAN}`, "too short"],
  [`00-${TRACE}-${SPAN}-01-more`, "version 00 has no more parts"],
  [`ff-${TRACE}-${SPAN}-01`, "a version that cannot be"],
  [`00-${"0".repeat(32)}-${SPAN}-01`, "no trace"],
  [`00-${TRACE}-${"0".repeat(16)}-01`, "no span"],
  [`00-${TRACE.toUpperCase()}-${SPAN}-01`, "capitals"],
])("%s is no traceparent: %s", (text) => {
  expect(readTraceparent(text)).toBeUndefined();
});

test("a later version is read as far as it is known", () => {
  expect(readTraceparent(`cc-${TRACE}-${SPAN}-03-more`)).toMatchObject({ traceFlags: 1 });
});

test("only the sampled flag says that anybody records", () => {
  const flags = ["00", "01", "02", "03", "ff"];
  expect(flags.map((flag) => isSampled(`00-${TRACE}-${SPAN}-${flag}`))).toEqual([false, true, false, true, true]);
  expect([isSampled(null), isSampled("01"), isSampled("x".repeat(55))]).toEqual([false, false, false]);
});

test("without an SDK there is no span, and the API is not even there; with one there is, until it is gone", async () => {
  expect([registeredApi(), isTracing(), activeTraceparent(), startSpan("a", { kind: "INTERNAL" })]).toEqual([
    undefined,
    false,
    undefined,
    undefined,
  ]);
  expect(await inSpan(undefined, async () => 7)).toBe(7);
  {
    using recorded = recordSpans();
    const outer = startSpan("outer", { kind: "INTERNAL" });
    const inner = outer?.within(() => [activeTraceparent(), startSpan("inner", { kind: "INTERNAL" })?.end()]);
    expect(inner?.[0]).toBe(outer?.traceparent);
    await expect(
      inSpan(outer, async () => {
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    expect(recorded.seen()).toMatchObject([{ name: "inner" }, { name: "outer", failed: true }]);
  }
  expect([isTracing(), startSpan("b", { kind: "INTERNAL" })]).toEqual([false, undefined]);
});

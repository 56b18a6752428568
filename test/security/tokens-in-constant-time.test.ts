/** Every candidate is compared, over digests of one length, whatever was sent: the time of an answer tells nothing. */
import * as crypto from "node:crypto";
import { expect, test, vi } from "vitest";
import { createTokens } from "../../src/tokens.ts";

vi.mock("node:crypto", async (original) => {
  const real = await original<typeof crypto>();
  return { ...real, timingSafeEqual: vi.fn(real.timingSafeEqual) };
});

const compared = vi.mocked(crypto.timingSafeEqual);

test.for([
  ["the first", "first-token"],
  ["the last", "third-token"],
  ["none", "another-token"],
  ["a part", "first"],
  ["one letter", "f"],
  ["a very long one", "x".repeat(100_000)],
])("as many comparisons of as many bytes for %s", ([, sent = ""]) => {
  const tokens = createTokens(["first-token", "second-token", "third-token"]);
  compared.mockClear();
  tokens.matches(sent);
  const lengths = compared.mock.calls.map(([known, given]) => [known.byteLength, given.byteLength]);
  expect(lengths).toEqual([
    [32, 32],
    [32, 32],
    [32, 32],
  ]);
});

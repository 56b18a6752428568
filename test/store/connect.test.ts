/** TLS to Postgres, as the URL asks for it: by sslmode's words, with a clear word where there is none. */
import { expect } from "vitest";
import type { BrokerError } from "../../src/errors.ts";
import { connectTo } from "../../src/store/connect.ts";
import { asBrokerError, mayHaveHappened } from "../../src/store/database-errors.ts";
import { openLinesPool } from "../../src/store/db.ts";
import { selfSigned } from "../support/self-signed.ts";
import { tlsWayTo } from "../support/tls-way.ts";
import { given, LIMITS, say, test } from "../support/way.ts";

const poolTo = (url: string) => given(openLinesPool({ url, ...LIMITS }, 1, {}));

function withMode(url: string, sslmode: string, more: Record<string, string> = {}): string {
  const target = new URL(url);
  for (const [name, value] of Object.entries({ sslmode, ...more })) target.searchParams.set(name, value);
  return target.href;
}

/** What a statement is told that finds no connection, and whether it may have happened all the same. */
async function refusal(url: string): Promise<string> {
  const fault = await say(poolTo(url), "a").then(
    () => expect.unreachable("it was served"),
    (err: unknown) => err,
  );
  const { reason } = asBrokerError(fault) as BrokerError;
  return `${reason}${mayHaveHappened(fault) ? ", may have happened" : ""}: ${(fault as Error).message}`;
}

test.for(["require", "allow", "prefer"])(
  "sslmode %s takes TLS, whatever certificate it is shown",
  async (mode, { way }) => {
    expect(await say(poolTo(withMode(await tlsWayTo(way.url), mode)), "told")).toBe("told");
  },
);

test("TLS without a word of Postgres' before it (sslnegotiation=direct)", async ({ way }) => {
  const url = withMode(await tlsWayTo(way.url), "require", { sslnegotiation: "direct" });
  expect(await say(poolTo(url), "told")).toBe("told");
});

test("verify-full takes no certificate that nobody vouches for, and says so", async ({ way }) => {
  const told = await refusal(withMode(await tlsWayTo(way.url), "verify-full"));
  expect(told).toMatch(/^DATABASE_DOWN: no TLS with Postgres at 127\.0\.0\.1:\d+: self-signed certificate/);
});

test.for([true, false])("a certificate that is believed is for that address: %s", async (forAddress, { way }) => {
  const pem = selfSigned({ forAddress });
  const { port } = new URL(await tlsWayTo(way.url, pem));
  const address = { path: false, host: ["127.0.0.1"], port: [Number(port)], ssl: { ca: pem.cert } } as never;
  const told = await connectTo(address, 5_000).then(
    (socket) => {
      socket.destroy();
      return "connected";
    },
    ({ message }: Error) => message,
  );
  expect(told).toContain(forAddress ? "connected" : "127.0.0.1 is not in the cert's list");
});

test("a Postgres without TLS: prefer goes on plain, require says what to mend", async ({ way }) => {
  expect(await say(poolTo(withMode(way.url, "prefer")), "plain")).toBe("plain");
  expect(await refusal(withMode(way.url, "require"))).toMatch(
    /^DATABASE_DOWN: no TLS with Postgres at \S+: it takes none, and the URL asks for it; mend one of them, or sslmode in the URL$/,
  );
});

test("one that closes instead of an answer, or has gone, is away, and nothing was sent", async ({ way }) => {
  // The far end speaks no Postgres, and takes the word for TLS for nonsense.
  const direct = withMode(way.url, "require", { sslnegotiation: "direct" });
  expect(await refusal(direct)).toMatch(/^DATABASE_DOWN: no TLS with Postgres at \S+: \S/);
  await way.close();
  expect(await refusal(withMode(way.url, "require"))).toMatch(/^DATABASE_DOWN: connect ECONNREFUSED/);
  await way.reopen();
});

/**
 * With FLAKY_STORE=0.02 two of a hundred calls that a test's broker makes of Postgres fail, half of them before they are
 * done, half of them after: `FLAKY_STORE=0.02 npx vitest run test/stories`. What asks again holds; a test of what one call
 * answers does not.
 */
import { addressIn, Link } from "../faults/proxy.ts";

export interface Way {
  /** Of the same database. */
  url: string;
  close(): Promise<void>;
}

/** The way to a test's database: the straight one, unless FLAKY_STORE says otherwise. */
export async function wayTo(databaseUrl: string): Promise<Way> {
  const share = Number(process.env["FLAKY_STORE"] ?? 0);
  if (share === 0) return { url: databaseUrl, close: async () => undefined };
  const link = await Link.open({ name: "broker>db", to: addressIn(databaseUrl) });
  link.flaky({ share, draw: Math.random });
  const url = new URL(databaseUrl);
  url.searchParams.delete("host");
  url.host = `127.0.0.1:${link.port}`;
  return { url: url.href, close: () => link.close() };
}

/** How a Postgres URL names a Unix socket, for a client that cannot read it from the URL itself. */

/**
 * Splits off `?host=/folder/of/the/socket`, libpq's way to name a Unix socket: postgres.js takes the folder only as an
 * option, and would send a `host` parameter to the server, which refuses it. Use: `postgres(url, { ...rest, host })`.
 * Any other URL comes back as it is.
 */
export function addressOf(url: string): { url: string; host?: string } {
  if (!URL.canParse(url)) return { url };
  const parsed = new URL(url);
  const host = parsed.searchParams.get("host");
  if (!host?.startsWith("/")) return { url };
  parsed.searchParams.delete("host");
  return { url: parsed.href, host };
}

/** The URL of a database behind a Unix socket: libpq and `addressOf` both read it. */
export function socketUrl(folder: string, port: number, database: string): string {
  return `postgres://postgres@localhost:${port}/${database}?host=${encodeURIComponent(folder)}`;
}

/** The same server, another database. */
export function withDatabase(url: string, database: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${encodeURIComponent(database)}`;
  return parsed.href;
}

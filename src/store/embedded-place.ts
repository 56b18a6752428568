/** Where one embedded Postgres lies, and as whom it runs. */
import { access } from "node:fs/promises";
import { BrokerError } from "../errors.ts";
import { socketUrl } from "./address.ts";
import type { Account } from "./embedded-account.ts";
import type { Binaries } from "./embedded-binaries.ts";

/** What every step needs to know about one embedded Postgres. */
export interface Place {
  dataDir: string;
  /** Postgres's own folder. */
  pgdata: string;
  /** What Postgres says, and why it did not start. */
  logFile: string;
  socketDir: string;
  /** On Unix only a part of the socket's name. */
  port: number;
  /** Only on Windows, where it is TCP and needs one; a socket is closed to others by its folder. */
  password: string | undefined;
  binaries: Binaries;
  account: Account;
}

/** Whether a path exists, as far as this user can see. */
export async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** The URL of the database `postgres` there. */
export function urlOf({ password, port, socketDir }: Place): string {
  return password === undefined
    ? socketUrl(socketDir, port, "postgres")
    : `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
}

/** The database cannot be had; the message says where and what to do. */
export function unusable(message: string, cause?: unknown): BrokerError {
  return new BrokerError("DATABASE_DOWN", message, { cause });
}

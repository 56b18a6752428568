/** Where one embedded Postgres lies, and as whom it runs. */
import { access } from "node:fs/promises";
import { BrokerError } from "../errors.ts";
import { socketUrl } from "./address.ts";
import type { Account } from "./embedded-account.ts";

/** The programs that it is made of. */
export interface Binaries {
  initdb: string;
  postgres: string;
  pgCtl: string;
  /** For example "18.4". */
  version: string;
  /** Put before each program: the `env` command with what its environment needs. */
  env: string[];
}

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

/** A Postgres that this process started. */
export interface Run {
  pid: number;
  /** Resolves when the process is gone, however it went. */
  gone: Promise<void>;
  /** Lets transactions under way roll back, writes a checkpoint and ends; from then on by force. */
  stop(): Promise<void>;
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

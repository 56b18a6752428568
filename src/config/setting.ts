/** What one setting is: its name in the environment, the values it takes, and the words for both. */
import { X509Certificate } from "node:crypto";
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { createSecureContext } from "node:tls";
import { z } from "zod";

/** What a person is told about a setting. */
export interface Setting {
  /** The name in the environment. */
  env: string;
  about: string;
  /** Which values it takes, in words. */
  allowed: string;
  /** The default in words; undefined where the setting may stay unset. */
  fallback?: string | undefined;
  /** Its value is never shown. */
  secret?: boolean;
  /** Read by the client commands, not by the broker. */
  client?: boolean;
}

/** A whole number of at most 15 digits, so that no value loses its last digits. */
export function whole(env: string, fallback: number, min: number, max: number, about: string) {
  const setting: Setting = { env, about, allowed: `a whole number from ${min} to ${max}`, fallback: String(fallback) };
  const digits = z.string().regex(/^\d{1,15}$/);
  return digits.transform(Number).pipe(z.number().min(min).max(max)).default(fallback).meta({ setting });
}

/** A switch. */
export function flag(env: string, fallback: boolean, about: string) {
  const setting: Setting = { env, about, allowed: "true or false", fallback: String(fallback) };
  // Not z.stringbool: its fault ends the parsing, and the rules between settings would not be looked at.
  const words = z.string().regex(/^(true|1|yes|on|false|0|no|off)$/i);
  return words
    .transform((word) => /^(true|1|yes|on)$/i.test(word))
    .default(fallback)
    .meta({ setting });
}

/** Several secrets at once, so that they can be rotated. */
export function tokens(env: string, about: string) {
  const allowed = "tokens of 1..512 visible ASCII characters without spaces, separated by commas";
  const setting: Setting = { env, about, allowed, secret: true };
  return z.string().transform(splitList).pipe(z.array(TOKEN)).default([]).meta({ setting });
}

/** Some of a few names; the empty setting is the default, so none of them is said as `none`. */
export function names<T extends string>(env: string, known: readonly T[], fallback: readonly T[], about: string) {
  const setting: Setting = {
    env,
    about,
    allowed: `some of ${known.join(", ")}, separated by commas, or none`,
    fallback: fallback.length === known.length ? "all" : fallback.join(","),
  };
  return z
    .string()
    .transform((text) => (text === "none" ? [] : text === "all" ? [...known] : splitList(text)))
    .pipe(z.array(z.enum(known as readonly [T, ...T[]])))
    .default([...fallback])
    .meta({ setting });
}

/** Origins as browsers send them: scheme, host and port. */
export function origins(env: string, about: string) {
  const allowed = "origins such as https://app.example.com:8443, separated by commas, or * for any";
  const setting: Setting = { env, about, allowed };
  return z
    .string()
    .transform(splitList)
    .pipe(z.array(z.string().refine(isOrigin)))
    .default([])
    .meta({ setting });
}

function isOrigin(text: string): boolean {
  return text === "*" || (/^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text);
}

/** A secret that a header can carry. */
export const TOKEN = z.string().regex(/^[!-~]{1,512}$/);

/** The parts between commas, without blanks and repeats. */
export function splitList(text: string): string[] {
  return [...new Set(text.split(",").map((part) => part.trim()))].filter((part) => part !== "");
}

/** A file that can be read now. */
export function file(env: string, about: string, more: Pick<Setting, "client"> = {}) {
  const setting: Setting = { env, about, allowed: "the path of a file that this process can read", ...more };
  return z
    .string()
    .transform((path) => resolve(path))
    .refine(isReadable)
    .optional()
    .meta({ setting });
}

/** A folder that can be read now. */
export function folder(env: string, about: string) {
  const setting: Setting = { env, about, allowed: "the path of a folder that this process can read" };
  return z
    .string()
    .transform((path) => resolve(path))
    .refine((path) => isReadable(path) && statSync(path).isDirectory())
    .optional()
    .meta({ setting });
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** Whether two files are a PEM certificate and its key. True for files that cannot be read: that is another fault. */
export function isTlsPair(certFile: string, keyFile: string): boolean {
  if (!isReadable(certFile) || !isReadable(keyFile)) return true;
  try {
    createSecureContext({ cert: readFileSync(certFile), key: readFileSync(keyFile) });
    return true;
  } catch {
    return false;
  }
}

/** Whether a file begins with a PEM certificate. True for a file that cannot be read: that is another fault. */
export function isCertificate(path: string): boolean {
  if (!isReadable(path)) return true;
  try {
    return new X509Certificate(readFileSync(path)).subject !== undefined;
  } catch {
    return false;
  }
}

/** DATABASE_URL, DATABASE_DIRECT_URL. */
export function postgresUrl(env: string, about: string) {
  const setting: Setting = {
    env,
    about,
    allowed: "postgres://user:password@host:5432/database (in a password, write # as %23, / as %2F, % as %25)",
    secret: true,
  };
  return z
    .string()
    .regex(/^postgres(ql)?:\/\/\S*$/)
    .refine(isPostgresUrl)
    .optional()
    .meta({ setting });
}

function isPostgresUrl(url: string): boolean {
  // Several hosts (a:5432,b:5432) are good for the driver but not for URL, so only the first is looked at.
  const one = url.replace(/,[^/?]*(?=[/?]|$)/, "");
  if (!URL.canParse(one)) return false;
  const { username, password, pathname } = new URL(one);
  return [username, password, pathname].every(canDecode);
}

/** The driver decodes the parts, and a lone % would make it throw. */
function canDecode(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** BROKER_URL. It holds no password, since it is printed. */
export function brokerUrl() {
  const about = "the broker that the client commands call; unset: what `dev` left in DATA_DIR, else the default";
  const setting: Setting = {
    env: "BROKER_URL",
    about,
    allowed: "http://HOST:PORT or https://HOST:PORT",
    fallback: DEFAULT_BROKER_URL,
    client: true,
  };
  return z.string().refine(isHttpOrigin).optional().meta({ setting });
}

/** Where the client commands look when nothing says otherwise. */
export const DEFAULT_BROKER_URL = "http://127.0.0.1:50051";

function isHttpOrigin(text: string): boolean {
  if (!/^https?:\/\/[^\s/]/i.test(text) || !URL.canParse(text)) return false;
  const url = new URL(text);
  return url.username === "" && url.password === "" && url.search === "" && url.hash === "";
}

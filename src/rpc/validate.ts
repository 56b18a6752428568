/** Checks of single values. Each returns the value as the store takes it or throws BAD_FIELD with the field's path. */
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { badField } from "../errors.ts";
import { cut, LIMITS } from "../job/limits.ts";

/** A text of min..max code points that Postgres can store. */
export function text(field: string, value: string, max: number, min = 0): string {
  const length = codePoints(value, max);
  if (length < min) throw badField(field, `is missing: give ${min}..${max} characters`);
  if (length > max) throw badField(field, `must be ${min}..${max} characters, got ${length}: shorten it`);
  if (value.includes("\0")) {
    throw badField(field, "holds the character U+0000, which Postgres cannot store: remove it");
  }
  if (!value.isWellFormed()) {
    throw badField(field, "holds half of a surrogate pair, which is no character: send both halves or remove it");
  }
  return value;
}

/** An absent text is null; an empty one stays what it is. */
export function optionalText(field: string, value: string | undefined, max: number): string | null {
  return value === undefined ? null : text(field, value, max);
}

/** An absent or empty text is null. */
export function textOrNone(field: string, value: string | undefined, max: number): string | null {
  return value === undefined || value === "" ? null : text(field, value, max);
}

export function workerId(value: string, field = "worker_id"): string {
  text(field, value, LIMITS.workerId, 1);
  if (/\p{Cc}/u.test(value)) {
    throw badField(field, `must be printable characters, got ${shown(value)}: remove the control characters`);
  }
  return value;
}

/** How many items a batch holds. */
export function batch(field: string, count: number): void {
  if (count >= 1 && count <= LIMITS.batch) return;
  const advice = count === 0 ? "give at least one" : "split the batch";
  throw badField(field, `must hold 1..${LIMITS.batch} items, got ${count}: ${advice}`);
}

export function integer(field: string, value: number, min: number, max: number): number {
  if (value < min || value > max) throw badField(field, `must be ${min}..${max}, got ${value}`);
  return value;
}

/** A duration as whole milliseconds, rounded up; null where it is absent. */
export function durationMs(field: string, value: Duration | undefined, maxMs: number): number | null {
  if (value === undefined) return null;
  const { seconds, nanos } = value;
  if (Math.abs(nanos) > 999_999_999 || (seconds > 0n && nanos < 0) || (seconds < 0n && nanos > 0)) {
    const got = `got seconds ${seconds} and nanos ${nanos}`;
    throw badField(field, `must have nanos below 1000000000 with the sign of seconds, ${got}`);
  }
  const ms = Math.ceil(Number(seconds) * 1_000 + nanos / 1_000_000);
  if (seconds < 0n || nanos < 0 || ms > maxMs) {
    throw badField(field, `must be 0..${maxMs / 1_000} s, got ${Number(seconds) + nanos / 1e9} s`);
  }
  return ms;
}

// The range of google.protobuf.Timestamp, which lies within those of Postgres, Python and JavaScript.
const FIRST_SECOND = -62_135_596_800n;
const LAST_SECOND = 253_402_300_799n;

/** A point in time to the millisecond, rounded down; null where it is absent. */
export function instant(field: string, value: Timestamp | undefined): Date | null {
  if (value === undefined) return null;
  if (value.seconds < FIRST_SECOND || value.seconds > LAST_SECOND) {
    const range = "0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z";
    throw badField(field, `must be within ${range}, got ${value.seconds} s from 1970: check its unit`);
  }
  if (value.nanos < 0 || value.nanos > 999_999_999) {
    throw badField(field, `must have nanos of 0..999999999, got ${value.nanos}`);
  }
  return new Date(Number(value.seconds) * 1_000 + Math.floor(value.nanos / 1_000_000));
}

/** The store's word for an enum value; unspecified and unknown numbers are refused. */
export function word<W>(field: string, value: number, words: ReadonlyMap<number, W>, names: string): W {
  const found = words.get(value);
  if (found === undefined) {
    throw badField(field, `must be ${names}, got ${value === 0 ? "none" : `the number ${value}`}`);
  }
  return found;
}

/**
 * A lease token as the store may compare it. A malformed one is not an error but a lost one, and an empty text matches
 * no lease.
 */
export function leaseToken(value: string): string {
  return value.length > 128 || value.includes("\0") || !value.isWellFormed() ? "" : value;
}

/** A value in an error message, short enough to read. */
export function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value);
  const short = cut(json, 40);
  return short === json ? json : `${short}…`;
}

/** Length in code points, counted only where UTF-16 units could be too many. */
function codePoints(value: string, max: number): number {
  if (value.length <= max) return value.length;
  let count = 0;
  for (const _ of value) count++;
  return count;
}

/**
 * The recorded answers of the original, and the words to replay them. Recorded from the Django app itself over raw
 * sockets: Django 5.2.9, REST framework 3.16.1 with JSONRenderer as its only renderer and no authentication classes,
 * gunicorn without its own limits on lines and headers, Python 3.11, PostgreSQL 15. Before each case the tables held
 * just its jobs; `rows` is what they held afterwards. Where `ours` stands, we differ on purpose, and `why` says so.
 * No answer carries Vary: with one renderer, REST framework sends none.
 */
import { readFileSync } from "node:fs";

/** A long text as pieces with how often each stands there. */
type Packed = string | { runs: [string, number][] };

export interface Row {
  status: string;
  last_error: string;
  error_message: string;
  locked_by: string | null;
  attempt_count: number;
  /** JSON text, null for a row without a payload, undefined for no row. */
  result?: string | null;
}

export interface Recorded {
  status: number;
  headers: Record<string, string>;
  /** Null: a page in HTML, or not compared. */
  body: string | null;
  /** The jobs as they were afterwards. */
  rows: Record<string, Row>;
}

export interface GivenJob {
  job_id: string;
  job_type?: string;
  status?: string;
  payload_text?: string;
  tenant_id?: string;
  source_domain?: string;
  source_id?: string;
  attempt_count?: number;
  max_attempts?: number;
  locked_by?: string;
  expired?: boolean;
  future?: boolean;
  result?: boolean;
}

export interface Case {
  name: string;
  jobs: GivenJob[];
  noToken: boolean;
  request: { method: string; target: string; headers: [string, string][]; chunked: boolean; body: Buffer | undefined };
  django: Recorded;
  /** Where we differ on purpose. */
  ours: Omit<Recorded, "headers"> | undefined;
  why: string | undefined;
}

/** All cases, unpacked. */
export function readGolden(): Case[] {
  const text = readFileSync(new URL("django-golden.json", import.meta.url), "utf8");
  return (JSON.parse(text) as RawCase[]).map((raw) => ({
    name: raw.name,
    jobs: raw.jobs,
    noToken: raw.noToken ?? false,
    request: {
      method: raw.request.method,
      target: unpack(raw.request.target),
      headers: raw.request.headers,
      chunked: raw.request.chunked ?? false,
      body: bodyOf(raw.request),
    },
    django: {
      ...raw.django,
      body: raw.django.body === null ? null : unpack(raw.django.body),
      rows: rowsOf(raw.django.rows),
    },
    ours: raw.ours && { ...raw.ours, rows: rowsOf(raw.ours.rows) },
    why: raw.why,
  }));
}

interface RawRequest {
  method: string;
  target: Packed;
  headers: [string, string][];
  chunked?: boolean;
  body?: Packed;
  bodyLatin1?: Packed;
}

interface RawCase {
  name: string;
  jobs: GivenJob[];
  noToken?: boolean;
  request: RawRequest;
  django: { status: number; headers: Record<string, string>; body: Packed | null; rows: Record<string, RawRow> };
  ours?: { status: number; body: string | null; rows: Record<string, RawRow> };
  why?: string;
}

interface RawRow {
  status: string;
  locked_by: string | null;
  attempt_count: number;
  last_error?: Packed;
  error_message?: Packed;
  result?: Packed | null;
}

function rowsOf(raw: Record<string, RawRow>): Record<string, Row> {
  return Object.fromEntries(Object.entries(raw).map(([id, row]) => [id, rowOf(row)]));
}

function rowOf(raw: RawRow): Row {
  const row: Row = {
    status: raw.status,
    last_error: unpack(raw.last_error ?? ""),
    error_message: unpack(raw.error_message ?? ""),
    locked_by: raw.locked_by,
    attempt_count: raw.attempt_count,
  };
  if (raw.result !== undefined) row.result = raw.result === null ? null : unpack(raw.result);
  return row;
}

function bodyOf({ body, bodyLatin1 }: RawRequest): Buffer | undefined {
  if (bodyLatin1 !== undefined) return Buffer.from(unpack(bodyLatin1), "latin1");
  return body === undefined ? undefined : Buffer.from(unpack(body));
}

function unpack(text: Packed): string {
  return typeof text === "string" ? text : text.runs.map(([piece, times]) => piece.repeat(times)).join("");
}

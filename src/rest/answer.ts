/** Answers of the REST shim: JSON, whatever happened. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { JSON_TYPE } from "./negotiate.ts";
import { dumps } from "./python-dumps.ts";
import type { PyValue } from "./python-text.ts";

export interface Answer {
  status: number;
  body: PyValue;
  /** 0: compact. */
  indent?: number;
  /** Methods of the endpoint, for the header Allow. */
  allow: string;
  retryAfterMs?: number | undefined;
  /** The connection ends with this answer. */
  close?: boolean;
}

/**
 * Sends the answer, to HEAD without its body. Resolves true when all of it was handed to the system, false when the
 * client left before.
 */
export function send(req: IncomingMessage, res: ServerResponse, answer: Answer): Promise<boolean> {
  // HTTP/2 has its own ways to say that the client is gone, and says "finish" of a stream that was reset, too.
  const { stream } = res as { stream?: { aborted: boolean; rstCode: number; destroyed: boolean } };
  if (res.destroyed || res.headersSent || stream?.destroyed) return Promise.resolve(false);
  const text = dumps(answer.body, answer.indent ?? 0)
    .replaceAll("\u2028", "\\u2028")
    .replaceAll("\u2029", "\\u2029");
  const bytes = Buffer.from(text);
  res.statusCode = answer.status;
  res.setHeader("Content-Type", JSON_TYPE);
  res.setHeader("Allow", answer.allow);
  res.setHeader("Content-Length", bytes.length);
  if (answer.retryAfterMs !== undefined)
    res.setHeader("Retry-After", Math.max(1, Math.ceil(answer.retryAfterMs / 1_000)));
  // HTTP/2 knows no such header.
  if (answer.close && req.httpVersionMajor < 2) res.setHeader("Connection", "close");
  return new Promise((resolve) => {
    res.once("finish", () => resolve(stream === undefined || (!stream.aborted && stream.rstCode === 0)));
    res.once("close", () => resolve(res.writableFinished));
    res.once("error", () => resolve(false));
    if (req.method === "HEAD") res.end();
    else res.end(bytes);
  });
}

/** `{"detail": text}`. */
export function detail(text: string): PyValue {
  return new Map([["detail", text]]);
}

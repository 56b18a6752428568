/** The body of a request, bounded in bytes and in time. */
import type { IncomingMessage } from "node:http";
import { Refusal } from "./refusal.ts";

/** A client that announces more than this many times the limit is not heard out. */
const PATIENCE = 4;

/** Whether the request says that it has no body. A chunked one may still turn out to be empty. */
export function isBodyless(req: IncomingMessage): boolean {
  const length = req.headers["content-length"];
  if (length !== undefined) return Number(length) === 0;
  return req.headers["transfer-encoding"] === undefined && req.httpVersionMajor < 2;
}

/**
 * Reads the whole body; undefined when the client left before its end. Throws Refusal 413 over maxBytes, 408 when it
 * takes longer than timeoutMs. What is over the limit is read and dropped, within reason, so that a client that first
 * sends and then reads gets its answer.
 */
export function readBody(req: IncomingMessage, maxBytes: number, timeoutMs: number): Promise<Buffer | undefined> {
  const tooLarge = (close: boolean) =>
    new Refusal(413, `the body is larger than ${maxBytes} bytes; send less, or raise the limit (SHIM_MAX_BODY)`, close);
  if (Number(req.headers["content-length"] ?? 0) > maxBytes * PATIENCE) return Promise.reject(tooLarge(true));

  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    let size = 0;
    const timer = setTimeout(
      () =>
        settle(() => reject(new Refusal(408, `the body did not arrive within ${timeoutMs} ms; send it again`, true))),
      timeoutMs,
    );
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) chunks.push(chunk);
      else chunks = [];
      if (size > maxBytes * PATIENCE) settle(() => reject(tooLarge(true)));
    };
    const onEnd = () => settle(() => (size > maxBytes ? reject(tooLarge(false)) : resolve(Buffer.concat(chunks))));
    const onGone = () => settle(() => resolve(undefined));

    function settle(how: () => void): void {
      clearTimeout(timer);
      req.off("data", onData).off("end", onEnd).off("close", onGone);
      how();
    }
    // Stays on: an error without a listener would end the process.
    req.on("error", onGone);
    req.on("data", onData).on("end", onEnd).on("close", onGone);
  });
}

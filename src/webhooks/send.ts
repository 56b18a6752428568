/** One POST to an endpoint, and what became of it: never thrown, and never longer than the time it has. */
import { type ClientRequest, type IncomingMessage, request as overHttp } from "node:http";
import { request as overHttps } from "node:https";
import { isIP } from "node:net";
import { isPublicAddress } from "./address.ts";
import { guardedLookup, PrivateAddress, type Resolve } from "./lookup.ts";
import { type SignedHeaders, sign } from "./sign.ts";

export interface SendOptions {
  /** From the look-up of the name to the answer's headers. */
  timeoutMs: number;
  allowPrivate: boolean;
  allowHttp: boolean;
  /** For the user-agent. */
  version: string;
  /** node:dns unless given. */
  resolve?: Resolve;
}

export interface Message {
  url: string;
  secret: string;
  id: string;
  /** The time of the try, by the database's clock. */
  at: Date;
  body: string;
}

export interface Answer {
  /** delivered: 2xx. gone: 410. stopped: by the signal, so nothing is known. */
  outcome: "delivered" | "failed" | "gone" | "stopped";
  /** Null: there was no answer. */
  status: number | null;
  /** What went wrong and what to do; empty when nothing did. */
  error: string;
}

export type Send = (message: Message, signal: AbortSignal) => Promise<Answer>;

/** Of an answer's body, which nobody reads. */
const BODY_BYTES = 64 * 1024;
const BODY_MS = 1_000;

/** Sends on a connection of its own each time, so that the address that was looked at is the address that is used. */
export function createSend(options: SendOptions): Send {
  const lookup = guardedLookup(options.allowPrivate, options.resolve);
  return async (message, signal) => {
    const url = new URL(message.url);
    const fault = urlFault(url, options);
    if (fault !== undefined) return failed(null, fault);
    if (signal.aborted) return STOPPED;
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(message.body),
      "user-agent": `ai-job-broker/${options.version}`,
      ...sign(message.secret, message.id, message.at, message.body),
    } satisfies SignedHeaders & Record<string, string | number>;
    const start = url.protocol === "http:" ? overHttp : overHttps;
    const req = start(url, { method: "POST", headers, lookup, agent: false });
    const answer = await answerOf(req, options.timeoutMs, signal, message.body);
    return answer;
  };
}

/** Why nothing is sent to such an address; undefined: it is as it should be. */
export function urlFault(url: URL, { allowPrivate, allowHttp }: Pick<SendOptions, "allowPrivate" | "allowHttp">) {
  if (url.protocol !== "https:" && url.protocol !== "http:") return "it is not https://…: give an https address";
  if (url.protocol === "http:" && !allowHttp)
    return "it is http, not https: give an https address, or set WEBHOOK_ALLOW_HTTP=true";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  // Node asks no lookup for an address.
  if (isIP(host) !== 0 && !allowPrivate && !isPublicAddress(host)) return new PrivateAddress(host, host).message;
  return undefined;
}

const STOPPED: Answer = { outcome: "stopped", status: null, error: "" };

function failed(status: number | null, error: string): Answer {
  return { outcome: status === 410 ? "gone" : "failed", status, error };
}

function answerOf(req: ClientRequest, timeoutMs: number, signal: AbortSignal, body: string): Promise<Answer> {
  return new Promise((resolve) => {
    const end = (answer: Answer) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      resolve(answer);
    };
    const timer = setTimeout(() => {
      end(failed(null, `no answer within ${timeoutMs} ms: answer first and work later, or raise WEBHOOK_TIMEOUT_MS`));
      req.destroy();
    }, timeoutMs);
    const stop = () => {
      end(STOPPED);
      req.destroy();
    };
    signal.addEventListener("abort", stop);
    req.on("response", (res) => {
      end(judge(res.statusCode ?? 0));
      discard(res);
    });
    req.on("error", (err: NodeJS.ErrnoException) => end(failed(null, words(err))));
    // Also after an answer that no event tells, such as an upgrade.
    req.on("close", () => end(failed(null, "the connection was closed without an answer")));
    req.end(body);
  });
}

function judge(status: number): Answer {
  if (status >= 200 && status < 300) return { outcome: "delivered", status, error: "" };
  if (status === 410) return failed(status, "it answered 410 (gone)");
  if (status >= 300 && status < 400) {
    return failed(status, `it answered ${status}, a redirect, and none is followed: give the address that it leads to`);
  }
  return failed(status, `it answered ${status}`);
}

/** Lets the endpoint finish its answer, within bounds. */
function discard(res: IncomingMessage): void {
  let bytes = 0;
  const timer = setTimeout(() => res.destroy(), BODY_MS);
  res.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > BODY_BYTES) res.destroy();
  });
  res.on("error", () => undefined);
  res.on("close", () => clearTimeout(timer));
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there (connection refused)",
  ECONNRESET: "it closed the connection without an answer",
  ENOTFOUND: "its name cannot be resolved",
  EAI_AGAIN: "its name cannot be resolved now",
  ETIMEDOUT: "it cannot be reached (connection timed out)",
  EHOSTUNREACH: "it cannot be reached (no route)",
};

/** What went wrong, without what a library quotes. */
function words(err: NodeJS.ErrnoException): string {
  const first = err instanceof AggregateError ? (err.errors[0] as NodeJS.ErrnoException | undefined) : undefined;
  const cause = first ?? err;
  if (cause instanceof PrivateAddress) return cause.message;
  if (/CERT|SELF_SIGNED|ALTNAME|LEAF_SIGNATURE/.test(cause.code ?? "")) {
    return `its certificate is not trusted (${cause.code}): mend it, or give this process its authority in NODE_EXTRA_CA_CERTS`;
  }
  return WORDS[cause.code ?? ""] ?? `the connection failed (${cause.code ?? cause.message})`;
}

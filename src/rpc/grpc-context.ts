/** What a handler is told of a unary call in plain gRPC (grpc-unary.ts). */
import type { Http2ServerRequest } from "node:http2";
import type { ContextValues, HandlerContext } from "@connectrpc/connect";

interface CallFacts {
  service: HandlerContext["service"];
  method: HandlerContext["method"];
  values: ContextValues;
  call: {
    readonly signal: AbortSignal;
    /** Until the deadline, if there is one. */
    readonly leftMs: number | undefined;
  };
}

/** Headers are made when they are asked for: most handlers want none. */
export class CallContext implements HandlerContext {
  readonly requestMethod = "POST";
  readonly protocolName = "grpc";
  readonly service: HandlerContext["service"];
  readonly method: HandlerContext["method"];
  readonly values: ContextValues;
  readonly #req: Http2ServerRequest;
  readonly #call: CallFacts["call"];
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;

  constructor(req: Http2ServerRequest, { service, method, values, call }: CallFacts) {
    this.#req = req;
    this.#call = call;
    this.service = service;
    this.method = method;
    this.values = values;
  }

  get signal(): AbortSignal {
    return this.#call.signal;
  }

  timeoutMs(): number | undefined {
    return this.#call.leftMs;
  }

  get url(): string {
    return `${this.#req.scheme}://${this.#req.authority}${this.#req.url}`;
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= headersOf(this.#req);
    return this.#requestHeader;
  }

  sent(name: string): string | null {
    const value = this.#req.headers[name];
    return value === undefined ? null : String(value);
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  /** What the handler has set, and these. */
  headers(own: Record<string, string>): Record<string, string> {
    return this.#responseHeader === undefined ? own : { ...Object.fromEntries(this.#responseHeader), ...own };
  }

  trailers(own: Record<string, string>): Record<string, string> {
    return this.#responseTrailer === undefined ? own : { ...Object.fromEntries(this.#responseTrailer), ...own };
  }
}

/** A header of the request; unlike requestHeader it makes no Headers, which is a tenth of a call. */
export function sentHeader(context: Pick<HandlerContext, "requestHeader">, name: string): string | null {
  return context instanceof CallContext ? context.sent(name) : context.requestHeader.get(name);
}

function headersOf({ headers }: Http2ServerRequest): Headers {
  const all = new Headers();
  for (const name in headers) {
    const value = headers[name];
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of [value].flat()) all.append(name, one);
  }
  return all;
}

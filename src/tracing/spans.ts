/**
 * Spans through OpenTelemetry's API alone: the user brings the SDK. Without one nothing is made: startSpan answers
 * undefined after one look-up.
 */
import type { Attributes, Context, Span, SpanKind, Tracer, TracerProvider } from "@opentelemetry/api";
import { type Api, registeredApi } from "./api.ts";
import { isValid, readTraceparent, writeTraceparent } from "./traceparent.ts";

const NAME = "ai-job-broker";

export interface SpanOptions {
  kind: keyof typeof SpanKind;
  /** A traceparent to go on from; null: none; absent: whatever is active here. One that cannot be read counts as null. */
  parent?: string | null;
  /** Traceparents of others that it works for. */
  links?: readonly string[];
  /** It began so long ago. */
  beganMsAgo?: number;
  attributes?: Attributes;
}

export interface OpenSpan {
  /** For what comes of it, so that it is in the same trace. */
  readonly traceparent: string;
  /** Runs the work with the span as the active one. */
  within<T>(work: () => T): T;
  /** `failure`: what it failed with. */
  end(failure?: unknown, attributes?: Attributes): void;
}

/** Undefined when no SDK is registered. */
export function startSpan(name: string, options: SpanOptions): OpenSpan | undefined {
  const api = registeredApi();
  const tracer = api && tracerOf(api);
  if (api === undefined || tracer === undefined) return undefined;
  const parent = options.parent === undefined ? api.context.active() : contextOf(api, options.parent);
  const links = (options.links ?? []).flatMap((text) => readTraceparent(text) ?? []);
  const { beganMsAgo, attributes } = options;
  const span = tracer.startSpan(
    name,
    {
      kind: api.SpanKind[options.kind],
      links: links.map((linked) => ({ context: linked })),
      ...(attributes === undefined ? {} : { attributes }),
      ...(beganMsAgo === undefined ? {} : { startTime: Date.now() - beganMsAgo }),
    },
    parent,
  );
  return new RunningSpan(api, span, parent);
}

/** Whether an SDK is registered. */
export function isTracing(): boolean {
  const api = registeredApi();
  return api !== undefined && tracerOf(api) !== undefined;
}

/** Of the span that is active here. */
export function activeTraceparent(): string | undefined {
  const active = registeredApi()?.trace.getActiveSpan()?.spanContext();
  return active !== undefined && isValid(active) ? writeTraceparent(active) : undefined;
}

/** Runs the work within the span, which ends with it; without a span just runs it. `describe`: an error for the span. */
export async function inSpan<T>(
  span: OpenSpan | undefined,
  work: () => Promise<T>,
  describe: (thrown: unknown) => unknown = (thrown) => thrown,
): Promise<T> {
  if (span === undefined) return await work();
  try {
    const result = await span.within(work);
    span.end();
    return result;
  } catch (thrown) {
    span.end(describe(thrown));
    throw thrown;
  }
}

/** The API's provider stands for the SDK's, and says so where there is none: a tracer of it would make empty spans. */
function tracerOf({ trace }: Api): Tracer | undefined {
  const provider: TracerProvider & { getDelegateTracer?(name: string): Tracer | undefined } = trace.getTracerProvider();
  return provider.getDelegateTracer === undefined ? provider.getTracer(NAME) : provider.getDelegateTracer(NAME);
}

function contextOf({ trace, ROOT_CONTEXT }: Api, traceparent: string | null): Context {
  const remote = readTraceparent(traceparent);
  return remote === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, remote);
}

class RunningSpan implements OpenSpan {
  readonly traceparent: string;
  readonly #api: Api;
  readonly #span: Span;
  readonly #parent: Context;

  constructor(api: Api, span: Span, parent: Context) {
    this.#api = api;
    this.traceparent = writeTraceparent(span.spanContext());
    this.#span = span;
    this.#parent = parent;
  }

  within<T>(work: () => T): T {
    const { context, trace } = this.#api;
    return context.with(trace.setSpan(this.#parent, this.#span), work);
  }

  end(failure?: unknown, attributes?: Attributes): void {
    if (attributes !== undefined) this.#span.setAttributes(attributes);
    if (failure !== undefined) {
      const words = failure instanceof Error ? failure.message : String(failure);
      this.#span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: words });
      if (failure instanceof Error) this.#span.recordException(failure);
    }
    this.#span.end();
  }
}

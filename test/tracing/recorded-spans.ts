/** An OpenTelemetry SDK as a user sets one up, which keeps its spans: for this process, by import in a child. */
import { AsyncLocalStorage } from "node:async_hooks";
import { type Context, type ContextManager, context, ROOT_CONTEXT, SpanKind, trace } from "@opentelemetry/api";
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

/** What a test looks at; also one line of a child's stdout. */
export interface SeenSpan {
  name: string;
  kind: string;
  traceId: string;
  spanId: string;
  parentId: string | undefined;
  isRemoteParent: boolean;
  links: string[];
  attributes: Record<string, unknown>;
  failed: boolean;
  pid: number;
}

class AsyncContext implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();

  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    given: Context,
    work: F,
    self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(given, () => work.apply(self, args) as ReturnType<F>);
  }

  bind<T>(given: Context, target: T): T {
    if (typeof target !== "function") return target;
    return ((...args: unknown[]) => this.with(given, () => target(...args))) as T;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    this.#storage.disable();
    return this;
  }
}

export interface RecordedSpans extends Disposable {
  seen(): SeenSpan[];
}

/** Registers it for the whole process; disposed, it is as if it had never been. */
export function recordSpans(onSpan: (span: SeenSpan) => void = () => undefined): RecordedSpans {
  const exporter = new InMemorySpanExporter();
  const told = {
    onStart: () => undefined,
    onEnd: (span: ReadableSpan) => onSpan(seenSpan(span)),
    forceFlush: async () => undefined,
    shutdown: async () => undefined,
  };
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter }), told] });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncContext());
  return {
    seen: () => exporter.getFinishedSpans().map(seenSpan),
    [Symbol.dispose]() {
      trace.disable();
      context.disable();
    },
  };
}

function seenSpan(span: ReadableSpan): SeenSpan {
  const { traceId, spanId } = span.spanContext();
  return {
    name: span.name,
    kind: SpanKind[span.kind],
    traceId,
    spanId,
    parentId: span.parentSpanContext?.spanId,
    isRemoteParent: span.parentSpanContext?.isRemote === true,
    links: span.links.map((link) => link.context.spanId),
    attributes: span.attributes,
    failed: span.status.code === 2,
    pid: process.pid,
  };
}

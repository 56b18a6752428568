/** What was counted, as prom-client writes it out. Made anew for each scrape, and for nothing else. */
import type { Metric, Registry } from "prom-client";
import type { MetricFacts } from "./catalog.ts";
import type { Spread } from "./spread.ts";

export interface Sample {
  value: number;
  labels?: Readonly<Record<string, string | number>>;
  /** Where it is not the metric's own: the parts of a histogram. */
  metricName?: string;
}

/** The samples of each metric at a scrape. */
export type Families<N extends string> = Readonly<Record<N, () => Iterable<Sample>>>;

/** Registers one metric for each entry of the catalog. */
export function register<N extends string>(
  registry: Registry,
  catalog: Readonly<Record<N, MetricFacts>>,
  families: Families<N>,
): void {
  for (const name of Object.keys(catalog) as N[]) {
    const { help, type } = catalog[name];
    const get = async () => ({ name, help, type, aggregator: "sum", values: [...families[name]()] });
    // The registry asks a metric for no more than this; prom-client's own classes hash labels at each count.
    registry.registerMetric({ name, help, get } as unknown as Metric);
  }
}

/** The parts of a histogram; `label` is what the spread's names are, undefined where it has one row only. */
export function* spreadSamples(metric: string, label: string | undefined, spread: Spread): Generator<Sample> {
  for (const { name, counts, count, sum } of spread) {
    const labels = label === undefined ? {} : { [label]: name };
    for (const [at, bound] of spread.bounds.entries()) {
      yield { metricName: `${metric}_bucket`, labels: { le: bound, ...labels }, value: counts[at] as number };
    }
    yield { metricName: `${metric}_bucket`, labels: { le: "+Inf", ...labels }, value: count };
    yield { metricName: `${metric}_sum`, labels, value: sum };
    yield { metricName: `${metric}_count`, labels, value: count };
  }
}

/** One without labels; none where the value is not known. */
export function one(value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ value }];
}

/** Reads Prometheus' text format, strictly: whatever is not of its form is an error. */

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface ReadPage {
  /** Of each family: gauge, counter, histogram, summary. */
  types: Map<string, string>;
  samples: Sample[];
  /** The value of the only sample with this name and at least these labels; undefined where there is none. */
  value(name: string, labels?: Record<string, string>): number | undefined;
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\\\|\\"|\\n)*)"(?:,|$)/y;
const NUMBER = /^([+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|\+Inf|-Inf|Nan)$/;

export function readPage(text: string): ReadPage {
  if (!text.endsWith("\n")) throw new Error("the page does not end with a newline");
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("# HELP ")) continue;
    const [, family, type] = /^# TYPE (\S+) (gauge|counter|histogram|summary)$/.exec(line) ?? [];
    if (family !== undefined && type !== undefined) {
      if (types.has(family)) throw new Error(`${family} stands twice`);
      types.set(family, type);
    } else {
      samples.push(readSample(line));
    }
  }
  const keys = samples.map(({ name, labels }) => JSON.stringify([name, Object.entries(labels).sort()]));
  if (new Set(keys).size !== keys.length) throw new Error("a series stands twice");
  return {
    types,
    samples,
    value(name, wanted = {}) {
      const found = samples.filter(
        (one) => one.name === name && Object.entries(wanted).every(([key, value]) => one.labels[key] === value),
      );
      if (found.length > 1) throw new Error(`${name} ${JSON.stringify(wanted)} names ${found.length} series`);
      return found[0]?.value;
    },
  };
}

function readSample(line: string): Sample {
  const [, name, inner = "", value] = SAMPLE.exec(line) ?? [];
  if (name === undefined || value === undefined || !NUMBER.test(value)) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < inner.length) {
    const [, key, text] = LABEL.exec(inner) ?? [];
    if (key === undefined || text === undefined) throw new Error(`no labels: ${line}`);
    labels[key] = text.replace(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
  }
  return { name, labels, value: value === "+Inf" ? Number.POSITIVE_INFINITY : Number(value) };
}

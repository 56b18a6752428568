/** Lines over time. uPlot draws them on a canvas; what they are is said beside it, for those who do not see a canvas. */
import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import { shownTheme } from "../state/theme.ts";
import { clock, shortMoment } from "../words/format.ts";
import { language, words } from "../words/language.ts";

export interface Line {
  label: string;
  /** A colour of the style sheet, without its two dashes. */
  color: string;
  values: readonly (number | null)[];
  isFilled?: boolean;
  isDashed?: boolean;
}

export interface ChartProps {
  title: string;
  /** Seconds since 1970, as uPlot counts. */
  times: readonly number[];
  lines: readonly Line[];
  format: (value: number) => string;
}

const HEIGHT = 160;
const DAY_SECONDS = 86_400;

export function Chart({ title, times, lines, format }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const legend = useRef<HTMLDListElement>(null);
  const data = useMemo(
    () => [times, ...lines.map(({ values }) => values)] as unknown as uPlot.AlignedData,
    [times, lines],
  );
  const newest = useRef(data);
  newest.current = data;
  const look = `${shownTheme.value} ${language.value} ${lines.map(({ label }) => label).join()}`;

  // Drawn anew only when it looks different; new data alone is set below.
  useEffect(() => {
    const holder = place.current;
    if (holder === null) return undefined;
    const show = (at: number | null) => fillLegend(legend.current, newest.current, at, format);
    plot.current = new uPlot(optionsFor(holder, lines, format, show), newest.current, holder);
    show(null);
    const sizes = new ResizeObserver(() => {
      // A hidden holder has no width, and uPlot takes none for one.
      if (holder.clientWidth > 0) plot.current?.setSize({ width: holder.clientWidth, height: HEIGHT });
    });
    sizes.observe(holder);
    return () => {
      sizes.disconnect();
      plot.current?.destroy();
    };
  }, [look]);

  useEffect(() => {
    plot.current?.setData(data);
    fillLegend(legend.current, data, plot.current?.cursor.idx ?? null, format);
  }, [data]);

  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <dl class="legend" ref={legend}>
          {lines.map(({ label, color, isDashed }) => (
            <div key={label}>
              <dt>
                <span
                  class={isDashed ? "swatch dashed" : "swatch"}
                  style={{ color: `var(--${color})` }}
                  aria-hidden="true"
                />
                {label}
              </dt>
              <dd class="num">–</dd>
            </div>
          ))}
        </dl>
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={summary(title, lines, format)} />
    </figure>
  );
}

/** Written past the framework: it changes with each move of the pointer. */
function fillLegend(
  legend: HTMLDListElement | null,
  data: uPlot.AlignedData,
  at: number | null,
  format: (value: number) => string,
): void {
  legend?.querySelectorAll("dd").forEach((cell, line) => {
    const values = Array.from(data[line + 1] ?? []);
    const value = at === null ? values.findLast((one) => one !== null) : values[at];
    cell.textContent = value === null || value === undefined ? "–" : format(value);
  });
}

function summary(title: string, lines: readonly Line[], format: (value: number) => string): string {
  const parts = lines.map(({ label, values }) => {
    const known = values.filter((value) => value !== null);
    const last = known.at(-1);
    return last === undefined ? label : words.value.chart.line(label, format(last), format(Math.max(...known)));
  });
  return `${title}. ${parts.join("; ")}`;
}

function optionsFor(
  holder: HTMLElement,
  lines: readonly Line[],
  format: (value: number) => string,
  show: (at: number | null) => void,
): uPlot.Options {
  const color = (name: string) => resolveColor(holder, name);
  const axis = { stroke: color("text-faint"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: color("line-soft"), width: 1 };
  return {
    width: Math.max(holder.clientWidth, 100),
    height: HEIGHT,
    padding: [8, 16, 0, 0],
    legend: { show: false },
    // All charts of the page show the same moment.
    cursor: { sync: { key: "page" }, points: { size: 7 }, drag: { x: false, y: false }, y: false },
    hooks: { setCursor: [(plot) => show(plot.cursor.idx ?? null)] },
    scales: { y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, size: 24, space: 70, values: (_plot, splits) => timeTexts(splits) },
      { ...axis, grid, size: 52, space: 34, values: (_plot, splits) => splits.map((value) => format(value)) },
    ],
    series: [
      {},
      ...lines.map(({ label, color: name, isFilled, isDashed }) => ({
        label,
        stroke: color(name),
        width: 1.5,
        ...(isFilled ? { fill: color(`${name}-soft`) } : {}),
        ...(isDashed ? { dash: [4, 4] } : {}),
        points: { show: false },
      })),
    ],
  };
}

function timeTexts(splits: number[]): string[] {
  const isLong = (splits.at(-1) ?? 0) - (splits[0] ?? 0) >= DAY_SECONDS;
  return splits.map((seconds) => (isLong ? shortMoment(seconds * 1_000) : clock(seconds * 1_000)));
}

/** A colour of the style sheet as the theme has it now: a canvas does not know variables. */
function resolveColor(holder: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  holder.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

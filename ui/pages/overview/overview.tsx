/** The queue at a glance: what waits, what runs, what was done, and how that went over time. */
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { Chart } from "../../parts/chart.tsx";
import { Empty } from "../../parts/empty.tsx";
import { Fault } from "../../parts/fault.tsx";
import { PageHead } from "../../parts/page-head.tsx";
import { useResource } from "../../parts/resource.ts";
import { Segmented } from "../../parts/segmented.tsx";
import { stats } from "../../state/live-stats.ts";
import { replaceQuery, route } from "../../state/route.ts";
import { admin } from "../../wire/calls.ts";
import { durationFromMs } from "../../wire/convert.ts";
import { rate, span } from "../../words/format.ts";
import { words } from "../../words/language.ts";
import { historyLines } from "./history-lines.ts";
import { PauseDialog } from "./pause-dialog.tsx";
import { Tiles } from "./tiles.tsx";
import { TypeTable } from "./type-table.tsx";

const MINUTE_MS = 60_000;
const SPANS = { "15m": 15 * MINUTE_MS, "1h": 60 * MINUTE_MS, "24h": 24 * 60 * MINUTE_MS } as const;
type Span = keyof typeof SPANS;

export function Overview() {
  const { query } = route.value;
  const type = query.get("type") ?? "";
  const chosen = (Object.keys(SPANS) as Span[]).find((one) => one === query.get("span")) ?? "1h";
  const pausing = useSignal<string | undefined>(undefined);
  const now = stats.value;
  const t = words.value.overview;
  const show = (next: { type?: string; span?: string }) =>
    replaceQuery({ type: next.type ?? type, span: (next.span ?? chosen) === "1h" ? "" : (next.span ?? chosen) });

  return (
    <>
      <PageHead title={t.title}>
        <Segmented
          label={t.span}
          options={(Object.keys(SPANS) as Span[]).map((value) => ({ value, text: t.spans[value] }))}
          chosen={chosen}
          choose={(span) => show({ span })}
        />
      </PageHead>
      {now !== undefined && <Tiles now={now} type={type} />}
      <Charts type={type} spanMs={SPANS[chosen]} />
      {now === undefined ? (
        <p class="loading">{words.value.loading}</p>
      ) : now.types.length === 0 ? (
        <Empty title={t.emptyTitle} command={`npx ai-job-broker dispatch ocr '{"image_path": "sheets/1.png"}'`}>
          {t.emptyText}
        </Empty>
      ) : (
        <TypeTable
          types={now.types}
          chosen={type}
          choose={(next) => show({ type: next === type ? "" : next })}
          pause={(next) => (pausing.value = next)}
        />
      )}
      {pausing.value !== undefined && <PauseDialog type={pausing.value} close={() => (pausing.value = undefined)} />}
    </>
  );
}

function Charts({ type, spanMs }: { type: string; spanMs: number }) {
  const t = words.value.overview;
  const { value, error, refresh } = useResource(
    (signal) => admin.getHistory({ span: durationFromMs(spanMs), types: type === "" ? [] : [type] }, { signal }),
    `${type} ${spanMs}`,
    // As often as a new point can matter.
    Math.max(10_000, Math.min(MINUTE_MS, spanMs / 200)),
  );
  const answer = value.value;
  const lines = useMemo(() => answer && historyLines(answer), [answer]);
  if (lines === undefined)
    return error.value === undefined ? <ChartsToCome /> : <Fault error={error.value} retry={refresh} />;
  const pace = [
    { label: t.dispatched, color: "series-dispatched", values: lines.dispatched, isDashed: true },
    { label: t.done, color: "series-done", values: lines.done, isFilled: true },
    { label: t.retrying, color: "series-retrying", values: lines.retrying },
    { label: t.failed, color: "series-failed", values: lines.failed },
  ];
  const pair = (p50: (number | null)[], p95: (number | null)[]) => [
    { label: "p50", color: "series-p50", values: p50, isFilled: true },
    { label: "p95", color: "series-p95", values: p95 },
  ];
  const of = type === "" ? "" : ` · ${type}`;
  return (
    <div class="charts">
      <Chart title={`${t.perMinute}${of}`} times={lines.times} lines={pace} format={rate} />
      <Chart
        title={`${t.waitTime}${of}`}
        times={lines.times}
        lines={pair(lines.waitP50, lines.waitP95)}
        format={span}
      />
      <Chart title={`${t.runTime}${of}`} times={lines.times} lines={pair(lines.runP50, lines.runP95)} format={span} />
    </div>
  );
}

/** Their place, so that nothing jumps when they come. */
function ChartsToCome() {
  return (
    <div class="charts" aria-busy="true">
      {["pace", "wait", "run"].map((name) => (
        <div key={name} class="chart to-come" />
      ))}
    </div>
  );
}

/** The few numbers that are looked at first. */
import type { ComponentChildren } from "preact";
import type { StatsNow } from "../../../src/gen/aibroker/v1/stats_pb.ts";
import { databaseNow } from "../../state/clock.ts";
import { hrefOf } from "../../state/route.ts";
import { count, rate, span, ticking } from "../../words/format.ts";
import { words } from "../../words/language.ts";
import { totalsOf } from "./totals.ts";

export function Tiles({ now, type }: { now: StatsNow; type: string }) {
  const t = words.value.overview;
  const totals = totalsOf(type === "" ? now : { ...now, types: now.types.filter((one) => one.type === type) });
  const { workers } = now;
  const jobsWith = (status: string) => hrefOf("jobs", "", { status, type });
  return (
    <div class="tiles">
      <Tile label={t.due} href={jobsWith("PENDING")} note={t.scheduled(count(totals.scheduled))}>
        {count(totals.due)}
      </Tile>
      <Tile
        label={t.running}
        href={jobsWith("RUNNING")}
        note={workers && t.seats(count(workers.seats), count(workers.workers))}
      >
        {count(totals.running)}
      </Tile>
      <Tile label={t.donePerMinute} href={jobsWith("DONE")}>
        {rate(totals.donePerMinute)}
      </Tile>
      <Tile label={t.failedPerMinute} href={jobsWith("FAILED")} mood={totals.failedPerMinute > 0 ? "bad" : undefined}>
        {rate(totals.failedPerMinute)}
      </Tile>
      <Tile label={t.oldest} note={totals.pausedTypes > 0 ? t.paused(totals.pausedTypes) : undefined}>
        {totals.oldestDueAt === undefined ? t.nothingWaits : ticking(databaseNow() - totals.oldestDueAt)}
      </Tile>
      <Tile label={t.emptyIn}>{emptyIn(totals.due, totals.emptyInMs)}</Tile>
    </div>
  );
}

function emptyIn(due: number, ms: number | undefined): string {
  if (due === 0) return words.value.overview.empty;
  return ms === undefined ? "–" : span(ms);
}

interface TileProps {
  label: string;
  children: ComponentChildren;
  note?: string | undefined;
  href?: string;
  mood?: "bad" | undefined;
}

function Tile({ label, children, note, href, mood }: TileProps) {
  return (
    <div class="tile">
      <span class="tile-label">{href === undefined ? label : <a href={href}>{label}</a>}</span>
      <span class={mood === undefined ? "tile-value num" : `tile-value num ${mood}-text`}>{children}</span>
      <span class="tile-note">{note}</span>
    </div>
  );
}

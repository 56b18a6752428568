/** The queue by type; a row that is chosen is what the charts show. */
import type { TypeNow } from "../../../src/gen/aibroker/v1/stats_pb.ts";
import { say } from "../../parts/toasts.tsx";
import { databaseNow } from "../../state/clock.ts";
import { hrefOf } from "../../state/route.ts";
import { faultOf, mayChange } from "../../state/session.ts";
import { admin } from "../../wire/calls.ts";
import { msOf, spanOf } from "../../wire/convert.ts";
import { count, rate, span, ticking } from "../../words/format.ts";
import { words } from "../../words/language.ts";

interface TypeTableProps {
  types: readonly TypeNow[];
  chosen: string;
  choose: (type: string) => void;
  pause: (type: string) => void;
}

export function TypeTable({ types, chosen, choose, pause }: TypeTableProps) {
  const t = words.value.overview;
  return (
    // It scrolls sideways where it is wider than the page, so the keyboard must reach it.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
    <section class="panel scroll-x" tabIndex={0} aria-label={t.byType}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t.type}</th>
            <th scope="col" class="num">
              {t.due}
            </th>
            <th scope="col" class="num">
              {t.scheduledShort}
            </th>
            <th scope="col" class="num">
              {t.running}
            </th>
            <th scope="col" class="num">
              {t.donePerMinute}
            </th>
            <th scope="col" class="num">
              {t.failedPerMinute}
            </th>
            <th scope="col" class="num">
              {t.oldest}
            </th>
            <th scope="col" class="num">
              {t.wait}
            </th>
            <th scope="col" class="num">
              {t.run}
            </th>
            <th scope="col" class="num">
              {t.emptyIn}
            </th>
            {mayChange.value && (
              <th scope="col">
                <span class="off-screen">{words.value.actions}</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {types.map((type) => (
            <Row key={type.type} type={type} isChosen={type.type === chosen} choose={choose} pause={pause} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

type RowProps = Pick<TypeTableProps, "choose" | "pause"> & { type: TypeNow; isChosen: boolean };

function Row({ type: now, isChosen, choose, pause }: RowProps) {
  const t = words.value.overview;
  const { type, paused } = now;
  const oldest = msOf(now.oldestDueAt);
  return (
    <tr class={isChosen ? "chosen" : undefined}>
      <th scope="row">
        <button type="button" class="link" aria-pressed={isChosen} title={t.chooseType} onClick={() => choose(type)}>
          {type}
        </button>
        {paused && <span class="badge">{t.pausedBadge}</span>}
      </th>
      <td class="num">
        <a href={hrefOf("jobs", "", { status: "PENDING", type })}>{count(now.due)}</a>
      </td>
      <td class="num">{count(now.scheduled)}</td>
      <td class="num">
        <a href={hrefOf("jobs", "", { status: "RUNNING", type })}>{count(now.running)}</a>
      </td>
      <td class="num">{rate(now.donePerMinute)}</td>
      <td class={now.failedPerMinute > 0 ? "num bad-text" : "num"}>{rate(now.failedPerMinute)}</td>
      <td class="num">{oldest === undefined ? "–" : ticking(databaseNow() - oldest)}</td>
      <td class="num">{pairOf(spanOf(now.waitP50), spanOf(now.waitP95))}</td>
      <td class="num">{pairOf(spanOf(now.runP50), spanOf(now.runP95))}</td>
      <td class="num">{span(spanOf(now.emptyIn))}</td>
      {mayChange.value && (
        <td class="actions">
          <button type="button" class="small" onClick={() => (paused ? void resume(type) : pause(type))}>
            {paused ? t.resume : t.pause}
          </button>
        </td>
      )}
    </tr>
  );
}

function pairOf(p50: number | undefined, p95: number | undefined): string {
  return p50 === undefined ? "–" : `${span(p50)} / ${span(p95)}`;
}

async function resume(type: string): Promise<void> {
  try {
    await admin.resumeType({ type });
    say(words.value.overview.resumed(type));
  } catch (thrown) {
    say(faultOf(thrown).message, "bad");
  }
}

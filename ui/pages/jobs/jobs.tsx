/** All jobs, the newest first, by filter. */
import { useSignal } from "@preact/signals";
import { useCallback, useEffect, useMemo } from "preact/hooks";
import { Empty } from "../../parts/empty.tsx";
import { Fault } from "../../parts/fault.tsx";
import { PageHead } from "../../parts/page-head.tsx";
import { VirtualRows } from "../../parts/virtual-rows.tsx";
import { stats } from "../../state/live-stats.ts";
import { go, hrefOf, replaceQuery, route } from "../../state/route.ts";
import { isNarrow } from "../../state/screen.ts";
import { visible } from "../../state/visible.ts";
import { count } from "../../words/format.ts";
import { words } from "../../words/language.ts";
import { ActionDialog } from "./action-dialog.tsx";
import type { JobAction } from "./actions.ts";
import { filterOf, type JobsFilter, queryOf } from "./filter.ts";
import { FilterBar } from "./filter-bar.tsx";
import { JOB_COLUMNS, JobCells, JobHeads } from "./job-row.tsx";
import { Listing } from "./listing.ts";
import { Toolbar } from "./toolbar.tsx";
import { watchRows } from "./watch-rows.ts";

/** As many rows as a screen has, before it is known how many it has. */
const FIRST_WINDOW = { first: 0, last: 40 };

export function Jobs() {
  const search = route.value.query.toString();
  const filter = useMemo(() => filterOf(new URLSearchParams(search)), [search]);
  const listing = useMemo(() => new Listing(filter), [filter]);
  const chosen = useSignal<ReadonlySet<string>>(new Set());
  const action = useSignal<{ action: JobAction; ids: readonly string[] | undefined } | undefined>(undefined);
  const t = words.value.jobs;

  useEffect(() => {
    chosen.value = new Set();
    void listing.want(FIRST_WINDOW.first, FIRST_WINDOW.last);
    return () => listing.leave();
  }, [listing]);

  const toggle = (id: string) => {
    const next = new Set(chosen.peek());
    if (!next.delete(id)) next.add(id);
    chosen.value = next;
  };
  const done = () => {
    action.value = undefined;
    chosen.value = new Set();
    void listing.refresh(FIRST_WINDOW.last);
  };

  return (
    <div class="jobs-page">
      <PageHead title={t.title} />
      <FilterBar filter={filter} change={(next) => replaceQuery(queryOf(next))} />
      <Toolbar
        chosen={chosen.value}
        clear={() => (chosen.value = new Set())}
        act={(which, ids) => (action.value = { action: which, ids })}
      />
      <List listing={listing} chosen={chosen.value} toggle={toggle} />
      {action.value && (
        <ActionDialog
          action={action.value.action}
          target={action.value.ids === undefined ? { filter } : { ids: action.value.ids }}
          close={() => (action.value = undefined)}
          done={done}
        />
      )}
    </div>
  );
}

interface ListProps {
  listing: Listing;
  chosen: ReadonlySet<string>;
  toggle: (id: string) => void;
}

function List({ listing, chosen, toggle }: ListProps) {
  const window = useSignal(FIRST_WINDOW);
  const t = words.value.jobs;
  const onWindow = useCallback(
    (first: number, last: number) => {
      window.value = { first, last };
      void listing.want(first, last);
    },
    [listing],
  );
  useLiveRows(listing, window.value);
  const length = listing.length.value;
  const error = listing.error.value;
  const { first, last } = window.value;
  if (length === 0 && listing.isWhole.value && error === undefined) return <NoJobs filter={listing.filter} />;
  const idAt = (index: number) => listing.at(index)?.job?.id ?? "";
  return (
    <>
      {error && <Fault error={error} retry={() => listing.retry(first, last)} />}
      <VirtualRows
        label={t.title}
        length={length}
        rowHeight={isNarrow.value ? 62 : 34}
        columns={JOB_COLUMNS}
        head={<JobHeads />}
        cells={(index) => <JobCells job={listing.at(index)} isChosen={chosen.has(idAt(index))} toggle={toggle} />}
        isChosen={(index) => chosen.has(idAt(index))}
        onWindow={onWindow}
        open={(index) => idAt(index) !== "" && go(hrefOf("jobs", idAt(index)))}
        choose={(index) => idAt(index) !== "" && toggle(idAt(index))}
        foot={!listing.isWhole.value && error === undefined && <div class="rows-foot">{t.fetching}</div>}
      />
      <p class="status-line num" aria-live="off">
        {listing.isWhole.value ? t.all(count(length)) : t.fetched(count(length))}
      </p>
    </>
  );
}

/** At the top the list is fetched anew when the numbers move; further down the rows in sight are watched. */
function useLiveRows(listing: Listing, { first, last }: { first: number; last: number }): void {
  const numbers = stats.value;
  const isAtTop = first === 0;
  useEffect(() => {
    if (!isAtTop || numbers === undefined) return undefined;
    const timer = setTimeout(() => void listing.refresh(last), listing.restMs());
    return () => clearTimeout(timer);
  }, [listing, isAtTop, numbers]);
  const isWatched = visible.value && !isAtTop;
  useEffect(() => (isWatched ? watchRows(listing, { first, last }) : undefined), [listing, isWatched, first, last]);
}

function NoJobs({ filter }: { filter: JobsFilter }) {
  const t = words.value.jobs;
  const isFiltered = filter.statuses.length > 0 || Object.values(queryOf(filter)).some((text) => text !== "");
  if (!isFiltered)
    return (
      <Empty title={t.emptyTitle} command={`npx ai-job-broker dispatch ocr '{"image_path": "sheets/1.png"}'`}>
        {t.emptyText}
      </Empty>
    );
  return (
    <div class="empty">
      <p class="empty-title">{t.noneTitle}</p>
      <button type="button" onClick={() => replaceQuery({})}>
        {t.clearFilter}
      </button>
    </div>
  );
}

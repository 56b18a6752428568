/**
 * Rows of a list of any length, of which only those in sight exist. The keyboard moves through them as through a table of a
 * spreadsheet: arrows, Page Up and Down, Home and End, Enter to open, the space bar to choose.
 */
import { useSignal } from "@preact/signals";
import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

interface VirtualRowsProps {
  label: string;
  length: number;
  rowHeight: number;
  columns: number;
  head: ComponentChildren;
  /** The cells of a row. */
  cells: (index: number) => ComponentChildren;
  isChosen: (index: number) => boolean;
  /** Told which rows are in sight. */
  onWindow: (first: number, last: number) => void;
  open: (index: number) => void;
  choose: (index: number) => void;
  foot?: ComponentChildren;
}

/** Drawn beyond what is in sight. */
const MARGIN = 8;

export function VirtualRows(props: VirtualRowsProps) {
  const { label, length, rowHeight, columns, head, cells, isChosen, onWindow, foot } = props;
  const box = useRef<HTMLDivElement>(null);
  const active = useSignal(0);
  const { first, last, rowsInSight, scroll } = useSight(box, length, rowHeight);
  useEffect(() => onWindow(first, last), [first, last, onWindow]);

  const from = Math.max(0, first - MARGIN);
  const to = Math.min(length, last + 1 + MARGIN);
  const indices = Array.from({ length: Math.max(0, to - from) }, (_, offset) => from + offset);
  const current = Math.min(active.value, Math.max(0, length - 1));

  return (
    // biome-ignore lint/a11y/useSemanticElements: a table element lays its rows out by itself
    <div
      ref={box}
      class="rows"
      role="grid"
      aria-label={label}
      aria-rowcount={-1}
      aria-colcount={columns}
      aria-multiselectable="true"
      aria-activedescendant={length > 0 ? `row-${current}` : undefined}
      tabIndex={0}
      onScroll={(event) => scroll(event.currentTarget.scrollTop)}
      onKeyDown={(event) => {
        const next = move(event, current, { length, step: rowsInSight - 1 }, props);
        if (next === undefined) return;
        event.preventDefault();
        active.value = next;
        if (box.current !== null) reveal(box.current, next, rowHeight);
      }}
    >
      {head}
      {/* biome-ignore lint/a11y/useSemanticElements: as above */}
      <div role="rowgroup" class="rows-space" style={{ height: `${length * rowHeight}px` }}>
        {indices.map((index) => (
          // biome-ignore lint/a11y: as above; the grid itself has the focus
          <div
            key={index}
            id={`row-${index}`}
            role="row"
            aria-rowindex={index + 2}
            aria-selected={isChosen(index)}
            class={index === current ? "rows-row active" : "rows-row"}
            style={{ height: `${rowHeight}px`, transform: `translateY(${index * rowHeight}px)` }}
            onClick={() => {
              active.value = index;
            }}
          >
            {cells(index)}
          </div>
        ))}
      </div>
      {foot}
    </div>
  );
}

/** Which rows are in sight, as the box is scrolled and changes its size. */
function useSight(box: RefObject<HTMLDivElement | null>, length: number, rowHeight: number) {
  const top = useSignal(0);
  const height = useSignal(600);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const sizes = new ResizeObserver(() => {
      height.value = element.clientHeight;
    });
    sizes.observe(element);
    return () => sizes.disconnect();
  }, []);
  const first = Math.max(0, Math.min(Math.floor(top.value / rowHeight), length - 1));
  const last = Math.max(first, Math.min(length - 1, Math.ceil((top.value + height.value) / rowHeight)));
  const scroll = (scrollTop: number) => {
    top.value = scrollTop;
  };
  return { first, last, rowsInSight: Math.floor(height.value / rowHeight), scroll };
}

/** The row that a key leads to; undefined for a key that means nothing here. */
function move(
  event: KeyboardEvent,
  current: number,
  { length, step }: { length: number; step: number },
  { open, choose }: Pick<VirtualRowsProps, "open" | "choose">,
): number | undefined {
  // A key that is pressed within a row belongs to what has the focus there.
  if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const within = (index: number) => Math.max(0, Math.min(length - 1, index));
  switch (event.key) {
    case "ArrowDown":
      return within(current + 1);
    case "ArrowUp":
      return within(current - 1);
    case "PageDown":
      return within(current + step);
    case "PageUp":
      return within(current - step);
    case "Home":
      return 0;
    case "End":
      return within(length - 1);
    case "Enter":
      open(current);
      return current;
    case " ":
      choose(current);
      return current;
    default:
      return undefined;
  }
}

/** Scrolls just so far that the row is in sight, below the head that stays. */
function reveal(box: HTMLElement, index: number, rowHeight: number): void {
  const head = box.querySelector<HTMLElement>(".rows-head")?.offsetHeight ?? 0;
  const rowTop = index * rowHeight;
  if (rowTop < box.scrollTop) box.scrollTop = rowTop;
  else if (rowTop + rowHeight + head > box.scrollTop + box.clientHeight)
    box.scrollTop = rowTop + rowHeight + head - box.clientHeight;
}

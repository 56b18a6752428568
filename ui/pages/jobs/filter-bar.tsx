/** The filter of the list: states at hand, the rest one click away, and each part that is set as a word to take off. */
import { useSignal } from "@preact/signals";
import { Field } from "../../parts/field.tsx";
import { STATUSES, type StatusName } from "../../parts/status.tsx";
import { stats } from "../../state/live-stats.ts";
import { words } from "../../words/language.ts";
import { type JobsFilter, TEXT_PARTS, type TextPart } from "./filter.ts";

interface FilterBarProps {
  filter: JobsFilter;
  change: (filter: JobsFilter) => void;
}

export function FilterBar({ filter, change }: FilterBarProps) {
  const isOpen = useSignal(false);
  const t = words.value.jobs;
  const toggle = (name: StatusName) => {
    const { statuses } = filter;
    const next = statuses.includes(name) ? statuses.filter((one) => one !== name) : [...statuses, name];
    change({ ...filter, statuses: next });
  };
  const set = TEXT_PARTS.filter((part) => filter[part] !== "");
  return (
    <search class="filter">
      <div class="filter-line">
        {STATUSES.map((name) => (
          <button
            key={name}
            type="button"
            class={`chip-button status-${name.toLowerCase()}`}
            aria-pressed={filter.statuses.includes(name)}
            onClick={() => toggle(name)}
          >
            {words.value.status[name]}
          </button>
        ))}
        <button type="button" class="small" aria-expanded={isOpen.value} onClick={() => (isOpen.value = !isOpen.value)}>
          {t.moreFilters}
        </button>
        {set.map((part) => (
          <button
            key={part}
            type="button"
            class="badge removable"
            aria-label={t.removeFilter(t.parts[part])}
            onClick={() => change({ ...filter, [part]: "" })}
          >
            {t.parts[part]}: {filter[part]} ✕
          </button>
        ))}
      </div>
      {isOpen.value && <Parts filter={filter} change={change} />}
    </search>
  );
}

function Parts({ filter, change }: FilterBarProps) {
  const t = words.value.jobs;
  const types = stats.value?.types.map(({ type }) => type) ?? [];
  return (
    <div class="filter-parts">
      {TEXT_PARTS.map((part) => (
        <Field key={part} label={t.parts[part]}>
          <input
            type={part === "after" || part === "before" ? "datetime-local" : "text"}
            value={filter[part]}
            list={part === "type" ? "known-types" : undefined}
            maxLength={limitOf(part)}
            // On Enter or when the field is left: each letter would be a walk through all jobs.
            onChange={(event) => change({ ...filter, [part]: event.currentTarget.value.trim() })}
          />
        </Field>
      ))}
      <datalist id="known-types">
        {types.map((type) => (
          <option key={type} value={type} />
        ))}
      </datalist>
    </div>
  );
}

function limitOf(part: TextPart): number {
  if (part === "error") return 500;
  return part === "type" ? 1_000 : 128;
}

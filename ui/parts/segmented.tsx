/** One of a few, side by side: radio buttons that look like one control. */
import { useId } from "preact/hooks";

interface SegmentedProps<T extends string> {
  label: string;
  options: readonly { value: T; text: string; hint?: string }[];
  chosen: T;
  choose: (value: T) => void;
}

export function Segmented<T extends string>({ label, options, chosen, choose }: SegmentedProps<T>) {
  const name = useId();
  return (
    <fieldset class="segmented">
      <legend class="off-screen">{label}</legend>
      {options.map(({ value, text, hint }) => (
        <label key={value} title={hint}>
          <input type="radio" name={name} checked={value === chosen} onChange={() => choose(value)} aria-label={hint} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}

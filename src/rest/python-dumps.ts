/** JSON as Python's json module writes it, without escaping what is not ASCII. Walks with a stack of its own. */
import { Float, type PyValue, reprFloat } from "./python-text.ts";

interface Open {
  entries: Iterator<PyValue | [string, PyValue]>;
  isMap: boolean;
  empty: boolean;
}

/** json.dumps(). Indent 0: compact. A number out of a float's range stays as it was written. */
export function dumps(value: PyValue, indent = 0): string {
  const out: string[] = [];
  const open: Open[] = [];
  const colon = indent > 0 ? ": " : ":";
  const newLine = () => (indent > 0 ? `\n${" ".repeat(indent * open.length)}` : "");
  begin(value);
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = top.entries.next();
    if (next.done) {
      open.pop();
      if (!top.empty) out.push(newLine());
      out.push(top.isMap ? "}" : "]");
      continue;
    }
    out.push(top.empty ? newLine() : `,${newLine()}`);
    top.empty = false;
    if (top.isMap) {
      const [key, item] = next.value as [string, PyValue];
      out.push(JSON.stringify(key), colon);
      begin(item);
    } else begin(next.value as PyValue);
  }
  return out.join("");

  function begin(item: PyValue): void {
    if (Array.isArray(item)) {
      out.push("[");
      open.push({ entries: item.values(), isMap: false, empty: true });
    } else if (item instanceof Map) {
      out.push("{");
      open.push({ entries: item.entries(), isMap: true, empty: true });
    } else out.push(scalar(item));
  }
}

function scalar(item: Exclude<PyValue, PyValue[] | Map<string, PyValue>>): string {
  if (typeof item === "string") return JSON.stringify(item);
  if (item instanceof Float) return Number.isFinite(item.value) ? reprFloat(item.value) : item.text;
  return String(item);
}

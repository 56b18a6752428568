/** JSON to be read: open to the second level, long parts cut until they are asked for. */
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { CopyButton } from "../parts/copy.tsx";
import { mayBePicture } from "../wire/pictures.ts";
import { bytes } from "../words/format.ts";
import { words } from "../words/language.ts";
import { type Json, parseJson } from "./parse-json.ts";
import { HeldPicture, NamedPicture } from "./picture.tsx";

const OPEN_LEVELS = 2;
const MAX_ITEMS = 100;
const MAX_TEXT = 600;

export function JsonPanel({ title, text }: { title: string; text: string }) {
  const json = useMemo(() => parseJson(text), [text]);
  const isRaw = useSignal(false);
  const t = words.value.json;
  return (
    <section class="panel">
      <header>
        <h2>{title}</h2>
        <span class="faint num">{bytes(new Blob([text]).size)}</span>
        <span class="push" />
        <button
          type="button"
          class="quiet small"
          aria-pressed={isRaw.value}
          onClick={() => (isRaw.value = !isRaw.value)}
        >
          {t.raw}
        </button>
        <CopyButton text={text} label={t.copy(title)} />
      </header>
      {isRaw.value || json === undefined ? (
        // It scrolls by itself, so the keyboard must reach it.
        // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
        <pre class="raw" tabIndex={0}>
          {text}
        </pre>
      ) : (
        <div class="json">
          <Value json={json} level={0} />
        </div>
      )}
    </section>
  );
}

function Value({ json, level }: { json: Json; level: number }) {
  if (json.kind === "plain")
    return <span class={/^[-\d]/.test(json.text) ? "json-number" : "json-word"}>{json.text}</span>;
  if (json.kind === "string") return <Text text={json.text} />;
  const parts: [string, Json][] =
    json.kind === "object" ? json.entries : json.items.map((item, index) => [String(index), item]);
  const [open, close] = json.kind === "object" ? "{}" : "[]";
  if (parts.length === 0) return <span class="faint">{`${open}${close}`}</span>;
  return <Branch parts={parts} isObject={json.kind === "object"} level={level} />;
}

function Branch({ parts, isObject, level }: { parts: [string, Json][]; isObject: boolean; level: number }) {
  const isOpen = useSignal(level < OPEN_LEVELS);
  const shown = useSignal(MAX_ITEMS);
  const t = words.value.json;
  const toggle = (
    <button
      type="button"
      class="json-toggle"
      aria-expanded={isOpen.value}
      onClick={() => (isOpen.value = !isOpen.value)}
    >
      <span aria-hidden="true">{isOpen.value ? "▾" : "▸"}</span>
      <span class="faint">{isObject ? t.keys(parts.length) : t.items(parts.length)}</span>
    </button>
  );
  if (!isOpen.value) return toggle;
  const rest = parts.length - shown.value;
  return (
    <>
      {toggle}
      <ul>
        {parts.slice(0, shown.value).map(([key, value]) => (
          <li key={key}>
            <span class={isObject ? "json-key" : "json-index"}>{key}</span> <Value json={value} level={level + 1} />
          </li>
        ))}
        {rest > 0 && (
          <li>
            <button type="button" class="quiet small" onClick={() => (shown.value += MAX_ITEMS)}>
              {t.more(Math.min(rest, MAX_ITEMS), rest)}
            </button>
          </li>
        )}
      </ul>
    </>
  );
}

function Text({ text }: { text: string }) {
  const isWhole = useSignal(false);
  const t = words.value.json;
  if (/^data:image\/(png|jpeg|gif|webp|avif);base64,/.test(text)) return <HeldPicture address={text} />;
  const isCut = text.length > MAX_TEXT && !isWhole.value;
  return (
    <span class="json-text">
      "{isCut ? `${text.slice(0, MAX_TEXT)}…` : text}"
      {isCut && (
        <button type="button" class="quiet small" onClick={() => (isWhole.value = true)}>
          {t.whole(bytes(text.length))}
        </button>
      )}
      {mayBePicture(text) && <NamedPicture name={text} />}
    </span>
  );
}

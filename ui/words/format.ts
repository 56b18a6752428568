/** Numbers and times as people read them, in the language that is chosen. */
import { computed } from "@preact/signals";
import { type Language, language } from "./language.ts";

const formats = computed(() => {
  const locale = language.value === "ko" ? "ko-KR" : "en-GB";
  return {
    whole: new Intl.NumberFormat(locale),
    one: new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }),
    two: new Intl.NumberFormat(locale, { maximumFractionDigits: 2 }),
    clock: new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
    full: new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" }),
    short: new Intl.DateTimeFormat(locale, {
      month: "short",
      day: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    }),
  };
});

export function count(value: number | bigint): string {
  return formats.value.whole.format(value);
}

/** Per minute: small ones with a digit more, for 0.4 a minute is not 0. */
export function rate(value: number): string {
  if (value === 0) return "0";
  return value < 10 ? formats.value.two.format(value) : formats.value.one.format(value);
}

/** How long, in at most two units: 0.8 s, 45 s, 3 m 20 s, 2 h 5 m, 4 d 3 h. */
export function span(ms: number | undefined): string {
  if (ms === undefined) return "–";
  const units = UNITS[language.value];
  const { whole, one } = formats.value;
  if (ms < 1_000) return `${whole.format(Math.round(ms))}${units.ms}`;
  if (ms < 10_000) return `${one.format(ms / 1_000)}${units.s}`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds}${units.s}`;
  if (seconds < HOUR) return pair(seconds, MINUTE, units.m, 1, units.s);
  if (seconds < DAY) return pair(seconds, HOUR, units.h, MINUTE, units.m);
  return pair(seconds, DAY, units.d, HOUR, units.h);
}

const [MINUTE, HOUR, DAY] = [60, 3_600, 86_400];

const UNITS: Record<Language, Record<"ms" | "s" | "m" | "h" | "d", string>> = {
  en: { ms: " ms", s: " s", m: " m", h: " h", d: " d" },
  ko: { ms: "ms", s: "초", m: "분", h: "시간", d: "일" },
};

function pair(seconds: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((seconds % large) / small);
  const head = `${formats.value.whole.format(Math.floor(seconds / large))}${largeUnit}`;
  return rest === 0 ? head : `${head} ${rest}${smallUnit}`;
}

/** A span that ticks: whole seconds from the first on, so that its width does not jump. */
export function ticking(ms: number): string {
  return ms < 10_000 ? `${Math.max(0, Math.round(ms / 1_000))}${UNITS[language.value].s}` : span(ms);
}

/** Hours and minutes. */
export function clock(ms: number): string {
  return formats.value.clock.format(ms);
}

/** Date and time to the second. */
export function moment(ms: number | undefined): string {
  return ms === undefined ? "–" : formats.value.full.format(ms);
}

/** Day and time to the minute. */
export function shortMoment(ms: number): string {
  return formats.value.short.format(ms);
}

/** 512 B, 3.4 kB, 1.2 MB. */
export function bytes(value: number): string {
  if (value < 1_000) return `${value} B`;
  if (value < 1_000_000) return `${formats.value.one.format(value / 1_000)} kB`;
  return `${formats.value.one.format(value / 1_000_000)} MB`;
}

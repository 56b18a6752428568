/** English or Korean: as the browser asks for, unless the user chooses. */
import { computed, effect } from "@preact/signals";
import { stored } from "../state/stored.ts";
import { en, type Words } from "./en.ts";
import { ko } from "./ko.ts";

export const LANGUAGES = ["en", "ko"] as const;
export type Language = (typeof LANGUAGES)[number];

const asked = navigator.languages.find((tag) => /^(en|ko)\b/.test(tag));

export const language = stored<Language>("language", LANGUAGES, asked?.startsWith("ko") ? "ko" : "en");

/** All texts of the page. */
export const words = computed<Words>(() => (language.value === "ko" ? ko : en));

effect(() => {
  document.documentElement.lang = language.value;
});

/** Which page is shown, as the part of the address behind the # says: it never reaches a server. */
import { signal } from "@preact/signals";

export const PAGES = ["overview", "jobs", "workers", "webhooks", "system"] as const;
export type Page = (typeof PAGES)[number];

export interface Route {
  page: Page;
  /** Of one job; empty for the list. */
  id: string;
  query: URLSearchParams;
}

export const route = signal(parse(location.hash));

addEventListener("hashchange", () => {
  route.value = parse(location.hash);
});

/** The address of a place; parts of the query that are empty are left out. */
export function hrefOf(page: Page, id = "", query: Record<string, string> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const search = given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
  const path = page === "overview" ? "" : page;
  return `#/${path}${id === "" ? "" : `/${encodeURIComponent(id)}`}${search}`;
}

export function go(href: string): void {
  location.hash = href;
}

/** The same page with another query, as one step of the history that Back does not stop at. */
export function replaceQuery(query: Record<string, string>): void {
  const { page, id } = route.peek();
  history.replaceState(null, "", hrefOf(page, id, query));
  route.value = parse(location.hash);
}

function parse(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name = "", id = ""] = path.split("/", 2);
  const page = PAGES.find((one) => one === name) ?? "overview";
  return { page, id: page === "jobs" ? decode(id) : "", query: new URLSearchParams(search) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

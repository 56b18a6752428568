/** Pictures that jobs name: the broker shows those of one folder, where DASHBOARD_IMAGES says which. */
import { computed } from "@preact/signals";
import { server } from "../state/session.ts";
import { currentToken } from "./token.ts";

const LOOKS_LIKE_ONE = /^[^\n]{1,4000}\.(?:png|jpe?g|gif|webp|avif)$/i;

const areShown = computed(() =>
  server.value?.settings.some(({ name, value }) => name === "DASHBOARD_IMAGES" && value !== ""),
);

/** Whether a text may be the name of a picture that this broker shows. */
export function mayBePicture(text: string): boolean {
  return areShown.value === true && LOOKS_LIKE_ONE.test(text) && !/^[a-z][a-z\d+.-]+:/i.test(text);
}

/** Asks with the token, which no address may carry. Rejects with what is wrong, in the broker's words. */
export async function fetchPicture(name: string): Promise<Blob> {
  const address = new URL(`image?path=${encodeURIComponent(name)}`, document.baseURI);
  const answer = await fetch(address, { headers: { "x-worker-token": currentToken() } });
  if (answer.ok) return answer.blob();
  const said: unknown = await answer.json().catch(() => undefined);
  throw new Error((said as { message?: string } | undefined)?.message ?? `${answer.status} ${answer.statusText}`);
}

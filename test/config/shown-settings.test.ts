import { expect, test } from "vitest";
import { listSettings, loadConfig, shownSettings } from "../../src/config.ts";

const CANARY = "canary-7f3a";

test("operators are shown all settings of the broker, and of secrets only how many there are", () => {
  const shown = shownSettings(
    loadConfig({ INTERNAL_API_TOKEN: `${CANARY},b`, DATABASE_URL: `postgres://u:${CANARY}@db/j`, EVENT_KINDS: "none" }),
  );
  expect(Object.fromEntries(shown.map(({ name, value }) => [name, value]))).toMatchObject({
    INTERNAL_API_TOKEN: "2 set",
    DATABASE_URL: "1 set",
    INTERNAL_WORKER_TOKEN: "",
    PORT: "50051",
    EVENT_KINDS: "",
  });
  expect(JSON.stringify(shown)).not.toContain(CANARY);
  const names = listSettings().flatMap(({ env, client }) => (client ? [] : [env]));
  expect(shown.map(({ name }) => name)).toEqual(names);
});

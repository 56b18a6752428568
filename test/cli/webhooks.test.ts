import { expect } from "vitest";
import { startReceiver } from "../support/webhooks.ts";
import { test } from "./with-broker.ts";

test("an endpoint is added, listed, told again and removed", async ({ served, db: _ }) => {
  await using receiver = await startReceiver();
  const refused = await served.cli(["webhooks", "add", receiver.url]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("WEBHOOK_ALLOW_HTTP=true") });
  const added = await served.cli([
    "webhooks",
    "add",
    "https://receiver.invalid/hook",
    "-t",
    "ocr",
    "-k",
    "done,failed",
  ]);
  expect(added.stderr).toContain("not shown again");
  const [, id = "", secret = ""] = /^(wh_\S+) {2}(whsec_\S+)\n$/.exec(added.stdout) ?? [];
  expect(secret).not.toBe("");
  const listed = await served.cli(["webhooks", "list"]);
  expect(listed.stdout).toMatch(new RegExp(`^${id} .*https://receiver.invalid/hook +ocr +done,failed +0 +0 +ok$`, "m"));
  expect(listed.stdout).not.toContain("whsec_");
  expect(await served.cli(["webhooks", "redeliver", id, "--dead"])).toMatchObject({
    code: 0,
    stdout: "0 events will be sent again\n",
  });
  expect(await served.cli(["webhooks", "redeliver", id, "--job", "a", "--since=-2h"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("one of --dead, --job and --since"),
  });
  expect(await served.cli(["webhooks", "redeliver", "wh_none", "--since=-2h"])).toMatchObject({
    stderr: expect.stringContaining("no webhook has the id"),
  });
  expect(await served.cli(["webhooks", "remove", id])).toMatchObject({ code: 0, stdout: `${id} is removed\n` });
  expect(await served.cli(["webhooks", "remove", id])).toMatchObject({ code: 3 });
  expect((await served.cli(["webhooks", "list"])).stderr).toContain("There is no webhook.");
});

test("a test that does not arrive exits 3 and says why", async ({ served, db: _ }) => {
  const { stdout } = await served.cli(["webhooks", "add", "https://receiver.invalid/hook", "--json"]);
  const { webhook } = JSON.parse(stdout) as { webhook: { id: string } };
  const tested = await served.cli(["webhooks", "test", webhook.id]);
  expect(tested).toMatchObject({ code: 3, stdout: expect.stringMatching(/^not delivered: /) });
});

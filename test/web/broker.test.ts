/** The dashboard as a part of the broker. */
import http2 from "node:http2";
import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";

test("it is there unless DASHBOARD says no, and the root is no part of it", async ({ url }) => {
  const served = async (env: Record<string, string>) => {
    await using broker = await startTestBroker(url, env);
    const [page, root] = await Promise.all([fetch(`${broker.url}/ui/`), fetch(broker.url)]);
    const { rest } = (await root.json()) as { rest: string[] };
    return { page: page.status === 404 ? "none" : "there", root: root.status, isListed: rest.includes("/ui/") };
  };
  expect(await served({})).toEqual({ page: "there", root: 404, isListed: true });
  expect(await served({ DASHBOARD: "false" })).toEqual({ page: "none", root: 404, isListed: false });
});

test("it is served over HTTP/2 as well", async ({ url }) => {
  await using broker = await startTestBroker(url);
  const session = http2.connect(broker.url);
  const request = session.request({ ":path": "/ui" });
  const headers = await new Promise<http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader>((resolve) =>
    request.once("response", resolve),
  );
  expect(headers).toMatchObject({ ":status": 308, location: "ui/" });
  request.close();
  session.close();
});

/** The SDK's own client against an HTTP server that answers as EC2 does: what goes out, and what is made of errors. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { EC2Client } from "@aws-sdk/client-ec2";
import { test as base, expect } from "vitest";
import { type Ec2Api, Ec2Fault, ec2Api } from "../../src/loops/ec2-api.ts";

const A = "i-0000000a";
const B = "i-0000000b";

interface Server {
  api: Ec2Api;
  /** Of each request, its form. */
  asked: URLSearchParams[];
  /** When each request says that it was signed. */
  dates: Date[];
  /** Answers the next requests, in order; the last one goes on. */
  answers: ((response: ServerResponse, form: URLSearchParams) => void)[];
}

const test = base.extend<{ ec2: Server }>({
  ec2: async ({}, use) => {
    const asked: URLSearchParams[] = [];
    const dates: Date[] = [];
    const answers: Server["answers"] = [];
    const server = createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += String(chunk);
      const form = new URLSearchParams(body);
      asked.push(form);
      const signed = String(request.headers["x-amz-date"]);
      dates.push(new Date(signed.replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5")));
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      answer?.(response, form);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const credentials = { accessKeyId: "AK", secretAccessKey: "SK" };
    const client = new EC2Client({ region: "ap-northeast-2", endpoint, credentials, maxAttempts: 1 });
    await use({ api: ec2Api(client), asked, dates, answers });
    client.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  },
});

const xml = (status: number, body: string) => (response: ServerResponse) =>
  void response.writeHead(status, { "content-type": "text/xml" }).end(`<?xml version="1.0" encoding="UTF-8"?>${body}`);

const error = (status: number, code: string, message: string) =>
  xml(
    status,
    `<Response><Errors><Error><Code>${code}</Code><Message>${message}</Message></Error></Errors><RequestID>r</RequestID></Response>`,
  );

const described = (id: string, state: string, next = "") =>
  xml(
    200,
    `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item><instancesSet><item>
      <instanceId>${id}</instanceId><instanceState><code>80</code><name>${state}</name></instanceState>
      <launchTime>2026-01-02T03:04:05.000Z</launchTime>
      <stateReason><code>Server.InsufficientInstanceCapacity</code><message>no room</message></stateReason>
    </item></instancesSet></item></reservationSet><nextToken>${next}</nextToken></DescribeInstancesResponse>`,
  );

const faultOf = (call: Promise<unknown>) =>
  call.then(
    () => expect.fail("it succeeded"),
    (err: unknown) => err as Ec2Fault,
  );

test("instances are asked for by a filter, page after page, and the unknown ones are just not there", async ({
  ec2,
}) => {
  ec2.answers.push(described(A, "stopped", "more"), described(B, "running"));
  const found = await ec2.api.describe([A, B, "i-0000000c"]);
  const launchedAt = new Date("2026-01-02T03:04:05Z");
  expect([...found.values()]).toEqual([
    { id: A, state: "stopped", launchedAt, stateReason: "no room" },
    { id: B, state: "running", launchedAt, stateReason: "no room" },
  ]);
  expect(Object.fromEntries(ec2.asked[1] ?? [])).toMatchObject({
    Action: "DescribeInstances",
    "Filter.1.Name": "instance-id",
    "Filter.1.Value.3": "i-0000000c",
    NextToken: "more",
  });
});

test("a start names one instance, and is sent once", async ({ ec2 }) => {
  ec2.answers.push(xml(200, `<StartInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"/>`));
  await ec2.api.start(A);
  expect(ec2.asked.map((form) => Object.fromEntries(form))).toMatchObject([
    { Action: "StartInstances", "InstanceId.1": A },
  ]);
});

test.for([
  [403, "UnauthorizedOperation", "denied"],
  [401, "AuthFailure", "denied"],
  [503, "RequestLimitExceeded", "throttled"],
  [500, "InsufficientInstanceCapacity", "capacity"],
  [400, "InvalidInstanceID.NotFound", "gone"],
  [400, "IncorrectInstanceState", "state"],
  [400, "UnsupportedOperation", "refused"],
  [500, "InternalError", "unknown"],
  [503, "Unavailable", "unknown"],
  [400, "RequestExpired", "unknown"],
] as const)("%i %s means: %s; it is not tried again by itself", async ([status, code, trouble], { ec2 }) => {
  ec2.answers.push(error(status, code, "What EC2 says. Encoded authorization failure message: AAAA"));
  const fault = await faultOf(ec2.api.start(A));
  expect(fault).toBeInstanceOf(Ec2Fault);
  expect(fault).toMatchObject({ trouble, code, message: `ec2:StartInstances: What EC2 says. (${code})` });
  expect(ec2.asked).toHaveLength(1);
});

test.for([
  ["a connection that is cut", (response: ServerResponse): void => void response.destroy()],
  ["an answer that is no XML", (response: ServerResponse): void => void response.writeHead(200).end("<html>")],
  ["a proxy's error page", (response: ServerResponse): void => void response.writeHead(502).end("bad gateway")],
] as const)("%s: nobody knows whether the start was made", async ([, answer], { ec2 }) => {
  ec2.answers.push(answer);
  expect(await faultOf(ec2.api.start(A))).toMatchObject({ trouble: "unknown" });
});

test("nobody at the address: the system's own word for it", async () => {
  const credentials = { accessKeyId: "AK", secretAccessKey: "SK" };
  const client = new EC2Client({ region: "x", endpoint: "http://127.0.0.1:1", credentials, maxAttempts: 1 });
  expect(await faultOf(ec2Api(client).describe([A]))).toMatchObject({
    trouble: "unknown",
    message: expect.stringMatching(/^ec2:DescribeInstances: connect ECONNREFUSED .*\(ECONNREFUSED\)$/),
  });
});

test("a clock that is an hour off: EC2's own time is taken from its refusal", async ({ ec2 }) => {
  const theirs = new Date(Date.now() + 3_600_000);
  ec2.answers.push(
    (response) => {
      response.setHeader("date", theirs.toUTCString());
      error(400, "RequestExpired", "Request has expired.")(response);
    },
    described(A, "stopped"),
  );
  expect(await faultOf(ec2.api.describe([A]))).toMatchObject({ trouble: "unknown" });
  expect((await ec2.api.describe([A])).size).toBe(1);
  const [first, second] = ec2.dates;
  expect(Math.abs(Number(second) - theirs.getTime())).toBeLessThan(60_000);
  expect(Number(second) - Number(first)).toBeGreaterThan(3_000_000);
});

test("no credentials are a missing permission, not an absent EC2", async ({ ec2: _ }) => {
  const credentials = () =>
    Promise.reject(Object.assign(new Error("Could not load"), { name: "CredentialsProviderError" }));
  const client = new EC2Client({ region: "x", endpoint: "http://127.0.0.1:1", credentials, maxAttempts: 1 });
  expect(await faultOf(ec2Api(client).describe([A]))).toMatchObject({
    trouble: "denied",
    code: "CredentialsProviderError",
  });
});

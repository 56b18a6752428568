/** Images of one folder: which names lead to one, and that no other does. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { API_TOKEN, startTestBroker, type TestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test as withDatabase } from "../support/db.ts";

const READ_TOKEN = "story-read-token";
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const HEADS: Record<string, Buffer> = {
  "a.jpg": Buffer.from("ffd8ffe000104a46494600", "hex"),
  "a.gif": Buffer.from("GIF89a\x01\x00\x01\x00"),
  "a.webp": Buffer.from("RIFF\x24\x00\x00\x00WEBPVP8 "),
  "a.avif": Buffer.from("\x00\x00\x00\x1cftypavif\x00\x00"),
};

let outside: string;
let folder: string;

beforeAll(async () => {
  outside = await mkdtemp(join(tmpdir(), "aibroker-images-"));
  folder = join(outside, "sheets");
  await mkdir(join(folder, "2026/한글 반"), { recursive: true });
  await mkdir(join(folder, ".git"));
  await mkdir(join(outside, "sheets-of-others"));
  await mkdir(join(folder, "folder.png"));
  const pictures = ["one.png", "2026/한글 반/a+b&c.png", ".hidden.png", ".git/in.png", "named.txt"];
  for (const name of pictures) await writeFile(join(folder, name), PNG);
  for (const [name, bytes] of Object.entries(HEADS)) await writeFile(join(folder, name), bytes);
  await writeFile(join(outside, "secret.png"), PNG);
  await writeFile(join(outside, "sheets-of-others/one.png"), PNG);
  await writeFile(join(folder, "script.svg"), "<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>");
  await writeFile(join(folder, "page.png"), "<!doctype html><script>alert(1)</script>");
  await writeFile(join(folder, "empty.png"), "");
  await writeFile(join(folder, "huge.png"), PNG);
  await truncate(join(folder, "huge.png"), 32 * 1024 * 1024 + 1);
  await symlink(join(outside, "secret.png"), join(folder, "out.png"));
  await symlink(outside, join(folder, "up"));
  await symlink("one.png", join(folder, "alias.png"));
  execFileSync("mkfifo", [join(folder, "pipe.png")]);
});

afterAll(() => rm(outside, { recursive: true }));

interface ImagesFixtures {
  broker: TestBroker;
}

const test = withDatabase.extend<ImagesFixtures>({
  broker: async ({ url }, use) => {
    await using broker = await startTestBroker(url, { DASHBOARD_IMAGES: folder, INTERNAL_READ_TOKEN: READ_TOKEN });
    await use(broker);
  },
});

const ask = (broker: TestBroker, name: string, { token = READ_TOKEN, method = "GET" } = {}) =>
  fetch(`${broker.url}/ui/image?path=${encodeURIComponent(name)}`, { method, headers: { "x-worker-token": token } });

describe("an image of the folder", () => {
  test("is sent as it is, for the browser alone, to be drawn and nothing else", async ({ broker }) => {
    for (const name of [
      "one.png",
      "2026/한글 반/a+b&c.png",
      "./2026/../one.png",
      join(folder, "one.png"),
      "alias.png",
    ]) {
      const answer = await ask(broker, name);
      expect([name, answer.status, answer.headers.get("content-type")]).toEqual([name, 200, "image/png"]);
      expect(Buffer.from(await answer.arrayBuffer())).toEqual(PNG);
      expect(answer.headers.get("cache-control")).toBe("no-store");
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
    }
  });

  test("is known by its first bytes, whatever its name says", async ({ broker }) => {
    const kinds = await Promise.all(
      ["named.txt", ...Object.keys(HEADS)].map(async (name) => (await ask(broker, name)).headers.get("content-type")),
    );
    expect(kinds).toEqual(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]);
  });

  test("is told of without its bytes by HEAD", async ({ broker }) => {
    const answer = await ask(broker, "one.png", { method: "HEAD" });
    expect([answer.status, answer.headers.get("content-length")]).toEqual([200, String(PNG.length)]);
    expect((await answer.arrayBuffer()).byteLength).toBe(0);
  });
});

describe("what is refused", () => {
  test("every name that leads elsewhere is answered as one that leads nowhere", async ({ broker }) => {
    const leading = ["../secret.png", "2026/../../secret.png", join(outside, "secret.png"), "out.png", "up/secret.png"];
    const beside = ["../sheets-of-others/one.png", join(outside, "sheets-of-others/one.png"), "/etc/passwd", "."];
    const odd = [
      "none.png",
      "one.png/",
      "one.png\0",
      "folder.png",
      "pipe.png",
      ".hidden.png",
      ".git/in.png",
      "%2e%2e/secret.png",
    ];
    const nowhere = await (await ask(broker, "none.png")).text();
    for (const name of [...leading, ...beside, ...odd]) {
      const answer = await ask(broker, name);
      expect([name, answer.status, await answer.text()]).toEqual([name, 404, nowhere]);
    }
  });

  test("what no browser should draw, and what is too large, says so", async ({ broker }) => {
    const statusOf = async (name: string) => (await ask(broker, name)).status;
    expect(await Promise.all(["script.svg", "page.png", "empty.png"].map(statusOf))).toEqual([415, 415, 415]);
    expect(await statusOf("huge.png")).toBe(413);
    expect(await Promise.all(["", "a".repeat(5_000)].map(statusOf))).toEqual([400, 400]);
    const bare = await fetch(`${broker.url}/ui/image`, { headers: { "x-worker-token": READ_TOKEN } });
    expect(await bare.json()).toEqual({ message: expect.stringContaining("?path=") });
  });

  test("it takes a token that reads jobs, in a header", async ({ broker }) => {
    const statusOf = async (token: string) => (await ask(broker, "one.png", { token })).status;
    expect(await Promise.all([API_TOKEN, READ_TOKEN].map(statusOf))).toEqual([200, 200]);
    expect(await Promise.all([WORKER_TOKEN, "nobody"].map(statusOf))).toEqual([403, 401]);
    const inAddress = await fetch(`${broker.url}/ui/image?path=one.png&token=${API_TOKEN}`);
    expect(inAddress.status).toBe(401);
    expect(inAddress.headers.get("www-authenticate")).toBe("Bearer");
  });

  test("without the setting there is nothing to be asked", async ({ url }) => {
    await using broker = await startTestBroker(url);
    expect((await ask(broker, "one.png", { token: API_TOKEN })).status).toBe(404);
  });
});

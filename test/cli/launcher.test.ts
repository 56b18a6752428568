import { spawn } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { exists } from "../../src/store/embedded-lock.ts";
import { until } from "../support/until.ts";
import { LAUNCHER, type Running, watch } from "./run-cli.ts";

// By its URL: what the launcher consists of is JavaScript, for it runs on Nodes that know no TypeScript.
const { chooseNode, chooseProgram, DIST_FLOOR, isAtLeast, nodeFlags, pinnedNode, SOURCE_FLOOR } = await import(
  new URL("../../bin/choose.js", import.meta.url).href
);

describe("which program", () => {
  const having = (...paths: string[]) => chooseProgram((path: string) => paths.includes(path));

  test("a package runs its dist, which an older Node can run too", () => {
    expect(having("dist/main.js")).toEqual({ path: "dist/main.js", floor: DIST_FLOOR });
  });

  test("a checkout runs its source, also with a stale dist beside it", () => {
    expect(having("src/main.ts", "dist/main.js")).toEqual({ path: "src/main.ts", floor: SOURCE_FLOOR });
  });

  test("without either there is nothing to run", () => {
    expect(having()).toBeUndefined();
  });
});

describe("which Node", () => {
  const host = (version: string) => ({ path: "/host/node", version });

  test("the pinned one comes first, whatever the host has", () => {
    const choice = chooseNode({ pinned: "/pinned/node", host: host("99.0.0"), floor: SOURCE_FLOOR });
    expect(choice).toEqual({ node: "/pinned/node" });
  });

  test("without it, a host that is new enough will do", () => {
    expect(chooseNode({ pinned: undefined, host: host("22.18.0"), floor: SOURCE_FLOOR })).toEqual({
      node: "/host/node",
    });
    expect(chooseNode({ pinned: undefined, host: host("22.12.0"), floor: DIST_FLOOR })).toEqual({ node: "/host/node" });
  });

  test("an older host gets one line that says what to install", () => {
    const choice = chooseNode({ pinned: undefined, host: host("20.20.2"), floor: SOURCE_FLOOR });
    expect(choice).toEqual({ fault: expect.stringMatching(/Node 20\.20\.2.*npm install.*Node 22\.18 or newer/) });
  });

  test("versions are compared by number, not as text", () => {
    expect([isAtLeast("9.9.9", [22, 12]), isAtLeast("22.9.0", [22, 12]), isAtLeast("100.0.0", [22, 12])]).toEqual([
      false,
      false,
      true,
    ]);
  });

  test("each platform that has a pinned Node has its package among the optional dependencies", async () => {
    const { default: manifest } = await import("../../package.json", { with: { type: "json" } });
    for (const platform of ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64", "win32-x64"]) {
      const name = pinnedNode(...(platform.split("-") as [string, string]))?.split("/")[0] ?? "";
      expect(manifest.optionalDependencies, platform).toHaveProperty(name);
    }
    expect(pinnedNode("sunos", "sparc")).toBeUndefined();
  });
});

describe("a launch", () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  /** A package with these files and, where asked, a pinned Node that is this Node behind a script. */
  function givenPackage(files: Record<string, string>, pinned = true): string {
    const root = mkdtempSync(join(tmpdir(), "aibroker-launch-"));
    folders.push(root);
    cpSync(dirname(LAUNCHER), join(root, "bin"), { recursive: true });
    const name = pinnedNode(process.platform, process.arch) ?? "";
    const all = { "package.json": '{"type":"module"}', ...files };
    for (const [path, text] of Object.entries(all)) write(join(root, path), text);
    const node = join(root, "node_modules", name);
    if (pinned) write(node, `#!/bin/sh\nPINNED=yes exec "${process.execPath}" "$@"\n`);
    if (pinned) chmodSync(node, 0o755);
    return root;
  }

  function write(path: string, text: string): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  /** Starts it; without execve as on a Node 20 host, where the program is a child of the launcher. */
  function launch(root: string, args: string[], execve: boolean): Running {
    const withoutExecve = execve ? [] : ["--import", "data:text/javascript,delete process.execve"];
    return watch(
      spawn(process.execPath, [...withoutExecve, join(root, "bin/ai-job-broker.js"), ...args], { stdio: "pipe" }),
    );
  }

  const REPORT = "console.log(process.env.PINNED, ...process.argv.slice(2)); process.exitCode = 7;";

  test.each([true, false])(
    "runs the pinned Node with the arguments and gives its exit code (execve: %s)",
    async (execve) => {
      const root = givenPackage({ "src/main.ts": `const n: number = 1; ${REPORT}`, "dist/main.js": "throw 1" });
      const { code, stdout, stderr } = await launch(root, ["jobs", "list --x", ""], execve).done;
      expect({ code, stdout, stderr }).toEqual({ code: 7, stdout: "yes jobs list --x \n", stderr: "" });
    },
  );

  test("runs on the host's Node where there is no pinned one", async () => {
    const root = givenPackage({ "dist/main.js": REPORT }, false);
    expect(await launch(root, ["a"], true).done).toEqual({ code: 7, stdout: "undefined a\n", stderr: "" });
  });

  test.each([true, false])("keeps the program's young generation small (pinned Node: %s)", async (pinned) => {
    const root = givenPackage({ "src/main.ts": "console.log(process.execArgv.join());" }, pinned);
    expect((await launch(root, [], true).done).stdout).toBe("--max-semi-space-size=8\n");
  });

  test("leaves it to NODE_OPTIONS where that speaks of it", () => {
    expect(nodeFlags("--trace-gc --max-semi-space-size=32")).toEqual([]);
    expect(nodeFlags("--trace-gc")).toEqual(["--max-semi-space-size=8"]);
  });

  test("says what to do when the package is not whole", async () => {
    const { code, stderr } = await launch(givenPackage({}), [], true).done;
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^ai-job-broker: .*install the package again\n$/),
    });
  });

  const WAITING = `
    process.on("SIGTERM", () => { console.log("got SIGTERM"); process.exit(3); });
    setTimeout(() => {}, 60_000);
    console.log("up");`;

  test.each([true, false])("passes SIGTERM on and waits for the end (execve: %s)", async (execve) => {
    const running = launch(givenPackage({ "src/main.ts": WAITING }), [], execve);
    await until("it is up", () => running.stdout().includes("up"));
    running.child.kill("SIGTERM");
    expect(await running.done).toMatchObject({ code: 3, stdout: "up\ngot SIGTERM\n" });
  });

  test.each([true, false])("a program that dies by a signal shows as 128 + its number (execve: %s)", async (execve) => {
    const root = givenPackage({ "src/main.ts": "process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 60_000);" });
    expect((await launch(root, [], execve).done).code).toBe(143);
  });

  test("a launcher that is killed by force takes the program along, so that its port is free again", async () => {
    const main = new URL("../../src/main.ts", import.meta.url).href;
    const waiting = `
      import { createServer } from "node:net";
      createServer().listen(0, () => console.log("pid " + process.pid));
      process.argv[2] = "--version";
      await import(${JSON.stringify(main)});`;
    const running = launch(givenPackage({ "src/main.ts": waiting }), ["x"], false);
    const pid = await until("it is up", () => /pid (\d+)/.exec(running.stdout())?.[1]);
    await until("the program has started", () => /\d+\.\d+\.\d+\n/.test(running.stdout()));
    running.child.kill("SIGKILL");
    await until("the program is gone", () => !exists(Number(pid)));
  });
});

import { describe, expect, test } from "vitest";
import { listSettings } from "../../src/config.ts";
import { runCli, runHere } from "./run-cli.ts";

const COMMANDS = [
  ["serve"],
  ["dev"],
  ["demo"],
  ["migrate"],
  ["doctor"],
  ["dispatch"],
  ["jobs"],
  ["jobs", "list"],
  ["jobs", "get"],
  ["jobs", "cancel"],
  ["jobs", "retry"],
  ["jobs", "priority"],
  ["jobs", "release"],
  ["watch"],
  ["workers"],
  ["stats"],
  ["types"],
  ["types", "pause"],
  ["types", "resume"],
  ["ec2"],
  ["ec2", "start"],
  ["webhooks"],
  ["webhooks", "add"],
  ["webhooks", "list"],
  ["webhooks", "remove"],
  ["webhooks", "test"],
  ["webhooks", "redeliver"],
  ["init"],
  ["init", "worker"],
];
const PRINT_DATA = COMMANDS.filter(
  (words) =>
    !["serve", "dev", "demo", "jobs", "types", "ec2", "webhooks", "init", "init worker"].includes(words.join(" ")),
);

describe("help", () => {
  test("the first page names every command and every exit code", async () => {
    const { code, stdout, stderr } = await runHere(["--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const [name] of COMMANDS) expect(stdout).toMatch(new RegExp(`^ {2}${name}\\b`, "m"));
    expect(stdout.match(/^ {2}\d+ /gm)).toHaveLength(7);
  });

  test.each(COMMANDS)("%s %s: help has examples", async (...command) => {
    const { code, stdout } = await runHere([...command.filter(Boolean), "--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`Examples?:\\n {2}\\$ .*(ai-job-broker|npm run) ${command[0]}`));
  });

  test("every command that prints data takes --json", async () => {
    for (const command of PRINT_DATA) {
      expect((await runHere([...command, "--help"])).stdout, command.join(" ")).toContain("--json");
    }
  });

  test("serve --help lists every setting", async () => {
    const { stdout } = await runHere(["serve", "--help"]);
    for (const { env, about, allowed } of listSettings()) {
      expect(stdout).toContain(`\n  ${env}\n      ${about}\n      (${allowed}`);
    }
  });

  test("help takes a command of a command, and refuses one that there is not", async () => {
    expect((await runHere(["help", "jobs", "list"])).stdout).toBe((await runHere(["jobs", "list", "--help"])).stdout);
    expect(await runHere(["help", "jobs", "lst"])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: "ai-job-broker: unknown command 'lst'\nSee: ai-job-broker jobs --help\n",
    });
  });

  test("--version is the package's", async () => {
    expect((await runCli(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("wrong usage exits 2 and says so in one go", () => {
  test.each([
    [["sevre"], /unknown command 'sevre'\n\(Did you mean serve\?\)/],
    [["jobs", "lst"], /unknown command 'lst'\n\(Did you mean .*list/],
    [["jobs", "list", "--jsno"], /unknown option '--jsno'\n\(Did you mean --json\?\)/],
    [["dispatch", "ocr", "{}", "--wiat"], /unknown option '--wiat'\n\(Did you mean --wait\?\)/],
    [["dispatch"], /missing required argument 'type'/],
    [["jobs", "get"], /missing required argument 'id'/],
    [["jobs", "list", "--status", "finished"], /Give pending, running, done, failed or cancelled/],
    [["jobs", "list", "--limit", "0"], /Give a whole number of at least 1/],
    [["jobs", "list", "--since", "yesterday"], /Give a time such as/],
    [["dispatch", "ocr", "--run-at", "2026-01-31"], /Give a time such as/],
    [["dispatch", "ocr", "--wait", "--timeout", "soon"], /Give a duration such as/],
    [["dispatch", "ocr", "@/no/such/file.json"], /cannot read the payload: ENOENT/],
  ])("%j", async (args, words) => {
    const { code, stdout, stderr } = await runHere(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(words);
    expect(stderr).toMatch(/^ai-job-broker: /);
    expect(stderr).not.toContain("    at ");
  });

  test("wrong usage names the help that tells more", async () => {
    const { stderr } = await runHere(["jobs", "get"]);
    expect(stderr).toMatch(/\nSee: ai-job-broker jobs get --help\n$/);
  });

  test("no ids on stdin where - says so", async () => {
    expect(await runCli(["jobs", "retry", "-"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no job id on stdin"),
    });
  });

  test("wrong settings stop serve with all faults in one message", async () => {
    const { code, stderr } = await runCli(["serve"], { env: { PORT: "-1", LOG_LEVEL: "loud" } });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^ai-job-broker: 2 settings are wrong:\n {2}PORT: .*\n {2}LOG_LEVEL: .*\n$/);
  });
});

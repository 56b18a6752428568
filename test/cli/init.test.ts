import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test as base, describe, expect } from "vitest";
import { packageVersion } from "../../src/version.ts";
import { type Ran, runHere } from "./run-cli.ts";

const ROOT = resolve(import.meta.dirname, "../..");

const test = base.extend<{ folder: string; init: (name: string, ...options: string[]) => Promise<Ran> }>({
  folder: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "aibroker-init-"));
    await use(folder);
    await rm(folder, { recursive: true });
  },
  init: async ({ folder }, use) => {
    await use((name, ...options) => runHere(["init", "worker", join(folder, name), ...options]));
  },
});

const textOf = (...path: string[]) => readFile(join(...path), "utf8");

/** The files of a folder, as they are written on the terminal. */
async function filesOf(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = all.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return files.map((path) => path.slice(folder.length + 1)).sort();
}

test("it says what it wrote, and what to do next", async ({ folder, init }) => {
  const { code, stdout, stderr } = await init("my-worker");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const files = [
    ".gitignore",
    "README.md",
    "package.json",
    "src/broker.ts",
    "src/jobs.ts",
    "src/worker.ts",
    "test/worker.test.ts",
    "tsconfig.json",
  ];
  expect(await filesOf(join(folder, "my-worker"))).toEqual(files);
  const [wrote, next] = stdout.split("\nNext:\n");
  expect(wrote?.match(/^ {2}.*/gm)).toEqual(files.map((file) => `  ${file}`));
  expect(next).toContain(`\n  cd ${join(folder, "my-worker")}\n  npm install\n  npm start\n`);
  expect(next).toContain("\n  npx ai-job-broker dispatch ocr '");
});

test("the next steps have no broker started where one has been", async ({ folder, init }) => {
  const start = "npx ai-job-broker dev";
  expect((await init("one")).stdout).toContain(start);
  await writeFile(join(folder, "dev-tokens.json"), '{"workerToken": "w", "apiToken": "a"}');
  const { stdout } = await runHere(["init", "worker", join(folder, "two")], { DATA_DIR: folder });
  expect(stdout).not.toContain(start);
  expect(stdout).toContain(`\n  export DATA_DIR=${folder}\n`);
});

test("the package has the folder's name, and of the tools the versions that we have", async ({ folder, init }) => {
  await init("my-worker");
  const made = JSON.parse(await textOf(folder, "my-worker/package.json")) as Record<string, Record<string, string>>;
  const ours = JSON.parse(await textOf(ROOT, "package.json")) as { devDependencies: Record<string, string> };
  expect(made).toMatchObject({
    name: "my-worker",
    type: "module",
    // No registry need have a checkout's version; an installed package writes it as it is (package.test.ts).
    dependencies: { "ai-job-broker": `file:ai-job-broker-${packageVersion()}.tgz` },
  });
  for (const [name, version] of Object.entries(made["devDependencies"] ?? {})) {
    expect(version, name).toBe(ours.devDependencies[name]);
  }
});

test.each(["read_sheet", "read-sheet", "my-ocr", "a.b:c", "2nd"])(
  "the type %s is in the code, and the template's nowhere",
  async (type) => {
    const folder = await mkdtemp(join(tmpdir(), "aibroker-init-"));
    for (const language of ["typescript", "python"]) {
      const project = join(folder, language);
      expect((await runHere(["init", "worker", project, "--type", type, "--language", language])).code).toBe(0);
      const code = await textOf(project, language === "python" ? "worker.py" : "src/jobs.ts");
      expect(code).toContain(language === "python" ? `types=["${type}"]` : `{ handler, concurrency: 4 }`);
      for (const file of (await filesOf(project)).filter((path) => !path.startsWith("proto"))) {
        expect((await textOf(project, file)).replaceAll(type, ""), file).not.toMatch(/\bocr\b/);
      }
    }
    const key = type === "read_sheet" ? type : `"${type}"`;
    expect(await textOf(folder, "typescript/src/jobs.ts")).toContain(`\n  ${key}: { payload: Payload;`);
    await rm(folder, { recursive: true });
  },
);

test("in Python it has our stream, our pins and the contract", async ({ folder, init }) => {
  expect((await init("py", "--language", "python")).code).toBe(0);
  const project = join(folder, "py");
  for (const file of ["work_stream.py", "requirements.txt"]) {
    expect(await textOf(project, file)).toBe(await textOf(ROOT, "examples/worker-python", file));
  }
  const contract = "proto/aibroker/v1/worker_service.proto";
  expect(await textOf(project, contract)).toBe(await textOf(ROOT, contract));
  expect(await filesOf(project)).toEqual(expect.arrayContaining([".gitignore", "README.md", "generate.sh"]));
});

describe("it overwrites nothing", () => {
  test("a folder that has a file is refused, and left as it is", async ({ folder, init }) => {
    await mkdir(join(folder, "full"));
    await writeFile(join(folder, "full/README.md"), "mine");
    const { code, stdout, stderr } = await init("full");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toBe(`ai-job-broker: the folder ${join(folder, "full")} is not empty (README.md): name a new one\n`);
    expect(await filesOf(join(folder, "full"))).toEqual(["README.md"]);
    expect(await textOf(folder, "full/README.md")).toBe("mine");
  });

  test("a second run is refused", async ({ init }) => {
    expect((await init("twice")).code).toBe(0);
    const { code, stderr } = await init("twice");
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining("is not empty") });
  });

  test("a file of that name is refused without a stack", async ({ folder, init }) => {
    await writeFile(join(folder, "file"), "mine");
    const { code, stderr } = await init("file");
    expect(code).toBe(1);
    expect(stderr).toMatch(/^ai-job-broker: ENOTDIR: .*\n$/);
  });

  test("an empty folder will do", async ({ folder, init }) => {
    await mkdir(join(folder, "empty"));
    expect((await init("empty")).code).toBe(0);
  });
});

describe("names", () => {
  test.each(["My Worker", "Worker", "-x", "node_modules", "ai-job-broker", "워커"])(
    "the folder %s is no package's name",
    async (name) => {
      const { code, stderr } = await runHere(["init", "worker", `/nonexistent/${name}`]);
      expect(code).toBe(2);
      expect(stderr).toContain(`the folder's name becomes the package's`);
      expect(stderr).toContain(`'${name}'`);
    },
  );

  test.each(["", "a b", "it's", "-x", '"', "__proto__", "a".repeat(51)])("the type '%s' is refused", async (type) => {
    const { code, stderr } = await runHere(["init", "worker", "/nonexistent/a", `--type=${type}`]);
    expect(code).toBe(2);
    expect(stderr).toContain("Give up to 50 letters, digits");
  });

  test("a language that there is no template for is refused, and those that there are named", async () => {
    const { code, stderr } = await runHere(["init", "worker", "/nonexistent/a", "--language", "cobol"]);
    expect(code).toBe(2);
    expect(stderr).toContain("typescript, python");
  });
});

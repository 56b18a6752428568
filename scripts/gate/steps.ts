/** The gate, as a table: what has to hold before anything is committed. */
import { breaking, generated, lint } from "./contract.ts";
import { command, type Outcome, type Step } from "./run.ts";

/** What Node runs, and the dashboard, which knows a browser and JSX. */
const PROJECTS = ["tsconfig.json", "ui/tsconfig.json"];

/** The steps on the checkout in `root`; `colors` for a terminal. */
export function gate(root: string, colors: boolean): Step[] {
  const inRoot = { cwd: root };
  const tint = colors ? "--colors=force" : "--colors=off";
  const pretty = String(colors);
  return [
    {
      name: "types",
      holds: "TypeScript finds no fault",
      run: () => types(root, pretty),
    },
    {
      name: "biome",
      holds: "format and lint (npm run format mends most)",
      run: () => command("biome", ["ci", tint, "--error-on-warnings", "--max-diagnostics=100", "."], inRoot),
    },
    { name: "lint", holds: "buf lint on the contract", run: () => lint(root) },
    { name: "breaking", holds: "the contract against the last release", run: () => breaking(root) },
    { name: "generated", holds: "src/gen is up to date", run: () => generated(root) },
    {
      name: "docs",
      holds: "the site of docs/ builds, with no dead link in it",
      run: () => command("node", ["scripts/docs.ts", "build"], inRoot),
    },
    {
      name: "tidy",
      holds: "rooms, sizes, names",
      run: () => command("vitest", ["run", "test/tidy.test.ts", "--reporter=agent"], inRoot),
    },
    {
      name: "tests",
      holds: "everything else that npm test runs",
      run: () =>
        command("vitest", ["run", "--project=!programs", "--exclude=test/tidy.test.ts"], { cwd: root, live: true }),
    },
    {
      name: "programs",
      holds: "whole programs as users run them: npm run test:programs",
      run: () => command("vitest", ["run", "--project=programs"], { cwd: root, live: true }),
    },
    {
      name: "faults",
      holds: "a third of the quick fault programme, which one by the commit: npm run faults",
      run: () => faults(root),
    },
  ];
}

/** All of it takes longer than a commit may: in three commits or so each cell has been played. */
const PARTS = 3;

async function faults(root: string): Promise<Outcome> {
  const { ok, output } = await command("git", ["rev-parse", "--short=8", "HEAD"], { cwd: root });
  const part = ok ? (Number.parseInt(output, 16) % PARTS) + 1 : 1;
  const args = ["test/faults/main.ts", "--seed", "7", "--part", `${part}/${PARTS}`];
  return await command("node", args, { cwd: root, live: true });
}

async function types(root: string, pretty: string): Promise<Outcome> {
  const outcomes: Outcome[] = [];
  for (const project of PROJECTS) {
    outcomes.push(await command("tsc", ["-p", project, "--pretty", pretty], { cwd: root }));
  }
  return { ok: outcomes.every(({ ok }) => ok), output: outcomes.map(({ output }) => output).join("") };
}

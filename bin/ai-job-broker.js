#!/usr/bin/env node
/**
 * Starts ai-job-broker with the Node that it was made for. npx and npm run this file with whatever Node the host has,
 * so it is plain JavaScript that Node 18 understands.
 */
import { spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chooseNode, chooseProgram, nodeFlags, pinnedNode } from "./choose.js";

const root = fileURLToPath(new URL("..", import.meta.url));

async function main() {
  const program = chooseProgram((path) => existsSync(root + path));
  if (program === undefined) return stop(`neither src nor dist is in ${root}: install the package again`);
  const host = { path: process.execPath, version: process.versions.node };
  const choice = chooseNode({ pinned: findPinned(), host, floor: program.floor });
  if ("fault" in choice) return stop(choice.fault);
  const script = root + program.path;
  const flags = nodeFlags(process.env.NODE_OPTIONS);
  const isReady = !("execve" in process) || flags.every((flag) => process.execArgv.includes(flag));
  if (isReady && isSame(choice.node, host.path)) return import(pathToFileURL(script).href);
  return become(choice.node, [...flags, script, ...process.argv.slice(2)]);
}

/** @returns {string | undefined} */
function findPinned() {
  const name = pinnedNode(process.platform, process.arch);
  try {
    return name && createRequire(import.meta.url).resolve(name);
  } catch (_error) {
    return undefined;
  }
}

/**
 * @param {string} a
 * @param {string} b
 */
function isSame(a, b) {
  return realpathSync(a) === realpathSync(b);
}

/**
 * Goes on as another program: in this very process where Node can do that (22.15), so that there is nothing between
 * the caller and the broker; else as a child that gets every signal and gives its exit code.
 * @param {string} node
 * @param {string[]} args
 */
function become(node, args) {
  const execve = /** @type {{ execve?: (path: string, args: string[]) => never }} */ (process).execve;
  if (execve !== undefined && process.platform !== "win32") execve.call(process, node, [node, ...args]);
  // The channel says nothing; its end tells the program that this process was killed by force.
  const child = spawn(node, args, { stdio: ["inherit", "inherit", "inherit", "ipc"] });
  // Also while the terminal delivers the same Ctrl-C to the child itself: whoever listens there takes signals that come
  // within moments for one (src/cli/signals.ts), since npm passes them on in just the same way.
  const pass = (/** @type {NodeJS.Signals} */ signal) => child.kill(signal);
  const signals = /** @type {NodeJS.Signals[]} */ (["SIGINT", "SIGTERM", "SIGHUP"]);
  for (const signal of signals) process.on(signal, pass);
  child.on("error", (error) => stop(`cannot start ${node}: ${error.message}`));
  child.on("exit", (code, signal) => {
    process.exit(signal ? 128 + constants.signals[signal] : (code ?? 1));
  });
}

/** @param {string} message */
function stop(message) {
  process.stderr.write(`ai-job-broker: ${message}\n`);
  process.exitCode = 1;
}

await main();

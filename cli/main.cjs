"use strict";

/*
 * The front door of `npm run up` and its siblings. A fresh clone has no packages yet, so this file needs nothing but
 * Node.js: it installs the packages where they are missing or others than package-lock.json asks for, then hands over
 * to main.ts.
 */

const { spawnSync } = require("node:child_process");
const { existsSync, readFileSync } = require("node:fs");
const path = require("node:path");

const LOWEST_NODE = 20;
const project = path.resolve(__dirname, "..");

/** The lock's packages that every installation has, by path. Development tools and what one platform needs are left out. */
function required(lock) {
  return Object.entries(lock.packages ?? {}).filter(([name, entry]) => name !== "" && !entry.dev && !entry.optional && !entry.devOptional && !entry.link);
}

/** Whether what is installed, as npm has noted it, is what the lock asks for. */
function installedMatches(lock, installed) {
  return required(lock).every(([name, { version }]) => installed.packages?.[name]?.version === version);
}

function readJson(...segments) {
  const file = path.join(project, ...segments);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

function installPackages() {
  const lock = readJson("package-lock.json");
  const installed = readJson("node_modules", ".package-lock.json");
  if (lock === undefined || (installed !== undefined && installedMatches(lock, installed))) return;
  console.error(installed === undefined ? "Installing packages (npm ci), once." : "Installing packages (npm ci): package-lock.json has changed.");
  const npm = process.env.npm_execpath;
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  // npm's own words go to the error output: the standard output belongs to the command, and may be read by a program.
  const stdio = ["ignore", 2, 2];
  const { status, error } =
    npm === undefined ? spawnSync("npm", args, { cwd: project, stdio, shell: process.platform === "win32" }) : spawnSync(process.execPath, [npm, ...args], { cwd: project, stdio });
  if (status === 0) return;
  console.error(`The packages could not be installed${error ? ` (${error.message})` : ""}: npm's reason is above. Mend it, or run npm ci by hand, and run this command again.`);
  process.exit(1);
}

function main() {
  if (Number(process.versions.node.split(".")[0]) < LOWEST_NODE) {
    console.error(`Node.js ${LOWEST_NODE} or newer is needed, and this is ${process.versions.node}: install it from https://nodejs.org/ and run this command again.`);
    process.exit(1);
  }
  installPackages();
  require("tsx/cjs");
  require("./main.ts");
}

if (require.main === module) main();

module.exports = { installedMatches };

// Adds up test results: `count.cjs <status> <result file>…`. Names what was skipped and
// what failed, each failure with the first and the last lines of its error (the reason of a command that failed stands
// at its end), ends with the line that is read, and
// exits non-zero if a test failed or if something failed that left no result behind (types, lint, a hook).
const { existsSync, readFileSync } = require("node:fs");

const [status, ...files] = process.argv.slice(2);
const FIRST_LINES = 8;
const LAST_LINES = 40;
const totals = { passed: 0, failed: 0, skipped: 0 };
for (const file of files) {
  if (!existsSync(file)) {
    console.log(`no result: ${file.split("/").at(-1)}`);
    totals.failed += 1;
    continue;
  }
  const { testResults } = JSON.parse(readFileSync(file, "utf8"));
  for (const { assertionResults } of testResults) {
    for (const { status: outcome, fullName, failureMessages } of assertionResults) {
      if (outcome === "passed") totals.passed += 1;
      else if (outcome === "failed") {
        totals.failed += 1;
        console.log(`failed: ${fullName}`);
        for (const message of failureMessages ?? []) console.log(shortened(message));
      } else {
        totals.skipped += 1;
        console.log(`skipped: ${fullName}`);
      }
    }
  }
}

function shortened(message) {
  const lines = message.split("\n");
  if (lines.length <= FIRST_LINES + LAST_LINES) return message;
  return [...lines.slice(0, FIRST_LINES), "…", ...lines.slice(-LAST_LINES)].join("\n");
}

if (status !== "0" && totals.failed === 0) totals.failed = 1;
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = totals.failed === 0 ? 0 : 1;

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { splitStatements } from "../../setup/statements";
import type { MigrationFile } from "../../tenants/migrations";
import { Failure } from "../failure";

const NAME = /^(\d{1,20})_.+\.sql$/;

/** Says that the file's one statement cannot run in a transaction. */
const OUTSIDE = /^--\s*no-transaction\s*$/;

/** What ends a transaction, or begins one, by the first words of a statement. */
const CONTROL = /^(begin|start\s+transaction|commit|end|abort|rollback|prepare\s+transaction)\b/i;

/**
 * The migrations in a folder, by their numbers: its files `<number>_<name>.sql`.
 *
 * @throws {@link Failure} that names the file and says what would be right.
 */
export function migrationFolder(folder: string): MigrationFile[] {
  let names: string[];
  try {
    names = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() || !entry.name.endsWith(".sql") ? [] : [entry.name]));
  } catch (error) {
    throw new Failure(`The folder ${folder} cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"}).`);
  }
  return migrationFiles(names.map((name) => ({ name, text: readFileSync(path.join(folder, name), "utf8") })), folder);
}

/** The migrations among files, by their numbers. @throws {@link Failure} as {@link migrationFolder}. */
export function migrationFiles(files: readonly { readonly name: string; readonly text: string }[], folder: string): MigrationFile[] {
  const numbered = files.map(({ name, text }) => {
    const number = NAME.exec(name)?.[1];
    if (number === undefined) throw new Failure(`${name} has no number to be sorted by: call it <number>_<name>.sql, such as 004_${name.replace(/^\W+/, "")}.`);
    return { name, text, number: BigInt(number) };
  });
  if (numbered.length === 0) throw new Failure(`There are no migrations in ${folder}: files such as 001_add_topic.sql.`);
  numbered.sort((one, other) => (one.number < other.number ? -1 : one.number > other.number ? 1 : one.name < other.name ? -1 : 1));
  const [twice] = numbered.filter(({ number }, index) => numbered[index - 1]?.number === number);
  if (twice !== undefined) throw new Failure(`${numbered.filter(({ number }) => number === twice.number).map(({ name }) => name).join(" and ")} have one number: it has to say which comes first.`);
  return numbered.map(({ name, text }) => fileOf(name, text));
}

function fileOf(name: string, raw: string): MigrationFile {
  // How a checkout writes the ends of lines is no change.
  const text = raw.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n");
  const transaction = !OUTSIDE.test(text.split("\n", 1)[0] ?? "");
  const statements = splitStatements(text);
  if (statements.length === 0) throw new Failure(`${name} has no statement.`);
  if (!transaction && statements.length > 1) throw new Failure(`${name} has ${statements.length} statements and runs outside of a transaction: give each a file of its own, so that one that fails leaves one thing to look at.`);
  const control = statements.find((statement) => CONTROL.test(statement.text));
  if (control !== undefined) throw new Failure(`${name} begins or ends a transaction at line ${control.line}. Take that out: the whole file is one, together with its record${transaction ? "; where its statement cannot be in one, its first line has to be -- no-transaction" : ""}.`);
  return { name, checksum: createHash("sha256").update(text).digest("hex"), transaction, statements };
}

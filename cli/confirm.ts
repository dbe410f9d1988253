import { createInterface } from "node:readline/promises";
import { Failure } from "./failure";

/**
 * Has a person type a word before something is lost.
 *
 * @param what what would be lost.
 * @throws {@link Failure} if it is another word, or there is no terminal to ask on.
 */
export async function confirm(word: string, what: string): Promise<void> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) throw new Failure(`${what} Nothing was dropped yet: say --yes to do it.`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${what}\nType ${word} to go on: `);
    if (answer.trim() !== word) throw new Failure("Nothing was dropped.");
  } finally {
    terminal.close();
  }
}

import { readHistory } from "./historyFile";
import { judge, type Judgement } from "./judge";

/**
 * Judges a kept history again, by the objectives that it was run for.
 *
 * @throws HistoryError if a line of the file is broken.
 */
export function recheck(file: string): Promise<Judgement> {
  return judge(readHistory(file));
}

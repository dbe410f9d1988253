/** The candidate that `word` is probably a slip of: at most two letters away, capitals and separators aside. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  const [best] = candidates
    .map((candidate) => ({ candidate, letters: distance(plain(word), plain(candidate)) }))
    .filter(({ candidate, letters }) => letters <= Math.min(2, candidate.length / 2))
    .sort((a, b) => a.letters - b.letters);
  return best?.candidate;
}

function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[_-]/g, "");
}

/** Levenshtein's distance: letters to insert, delete or replace. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1];
    for (const [column, other] of [...to].entries()) {
      next.push(Math.min((row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1, (row[column] ?? 0) + (letter === other ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

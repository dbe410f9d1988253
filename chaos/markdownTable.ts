/** A table in Markdown, a line each; the first row is its header. */
export function markdownTable([header = [], ...rows]: readonly (readonly string[])[]): string[] {
  const row = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [row(header), row(header.map(() => "---")), ...rows.map(row)];
}

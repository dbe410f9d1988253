/** Rows with their columns below one another, indented by two spaces. `paint` colours a cell after it has got its width. */
export function table(rows: readonly (readonly string[])[], paint: (cell: string, row: number, column: number) => string = (cell) => cell): string[] {
  const columns = Math.max(0, ...rows.map(({ length }) => length));
  const widths = Array.from({ length: columns }, (_, column) => Math.max(0, ...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((cells, row) => `  ${widths.map((width, column) => paint((cells[column] ?? "").padEnd(width), row, column)).join("  ")}`.trimEnd());
}

import type { SchemaEvent } from "./history";

/** Columns of a table that has just been created. */
export const FIRST_COLUMNS: readonly string[] = ["key", "value"];

/** What a table may be after schema changes of which some may or may not have been done: its columns in order, with commas between; empty if there is no such table. */
export class PossibleSchemas {
  private possible = new Set([""]);

  add({ change, column = "", outcome }: Pick<SchemaEvent, "change" | "column" | "outcome">): void {
    if (outcome === "refused") return;
    const changed = [...this.possible].flatMap((columns) => changedColumns(columns, change, column));
    this.possible = new Set(outcome === "ok" ? changed : [...this.possible, ...changed]);
  }

  has(columns: string): boolean {
    return this.possible.has(columns);
  }

  [Symbol.iterator](): Iterator<string> {
    return this.possible[Symbol.iterator]();
  }
}

/** The columns after a change that was done; none if it cannot have been done to a table with those. */
function changedColumns(columns: string, change: SchemaEvent["change"], column: string): string[] {
  const list = columns === "" ? [] : columns.split(",");
  switch (change) {
    case "create":
      return columns === "" ? [FIRST_COLUMNS.join(",")] : [];
    case "add column":
      return columns === "" || list.includes(column) ? [] : [[...list, column].join(",")];
    case "drop column":
      return list.includes(column) ? [list.filter((name) => name !== column).join(",")] : [];
    case "drop":
      return columns === "" ? [] : [""];
  }
}

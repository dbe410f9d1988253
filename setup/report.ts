/** What a set-up tells its reader: one line for each thing that it did, or found already so. */
export class Report {
  /** Whether anything had to change so far. */
  changed = false;
  /** What is being done now; an overdue set-up ends with it. */
  activity = "starting";

  constructor(private readonly print: (line: string) => void = console.log) {}

  /** Something was done. */
  did(subject: string, what: string): void {
    this.changed = true;
    this.print(`${subject}: ${what}`);
  }

  /** Something was so already, or is worth knowing. */
  found(subject: string, what: string): void {
    this.print(`${subject}: ${what}`);
  }
}

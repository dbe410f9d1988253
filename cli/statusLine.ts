import colors from "picocolors";
import { duration } from "./print";

const REDRAW_MS = 200;

/** Lines that stay, and below them in a terminal one line that says what is being done and for how long. */
export class StatusLine {
  private readonly startedAt = performance.now();
  private readonly timer: NodeJS.Timeout | undefined;
  private activity: () => string = () => "";

  constructor() {
    if (process.stderr.isTTY) this.timer = setInterval(() => this.draw(), REDRAW_MS).unref();
  }

  /** A line that stays, with the time since the beginning. */
  line(text: string): void {
    this.erase();
    process.stderr.write(`${colors.dim(duration(performance.now() - this.startedAt).padStart(7))}  ${text}\n`);
  }

  /** Something else that is printed between the lines. */
  interleave(print: () => void): void {
    this.erase();
    print();
  }

  /** What is being done from now on, or what tells it whenever it is shown; empty for nothing. */
  doing(activity: string | (() => string)): void {
    this.activity = typeof activity === "string" ? () => activity : activity;
  }

  end(): void {
    clearInterval(this.timer);
    this.erase();
  }

  private draw(): void {
    const activity = this.activity();
    if (activity === "") return;
    const text = `${duration(performance.now() - this.startedAt).padStart(7)}  ${activity}`;
    const width = process.stderr.columns - 1;
    this.erase();
    process.stderr.write(colors.cyan(text.length > width ? `${text.slice(0, width - 1)}…` : text));
  }

  private erase(): void {
    if (this.timer !== undefined) process.stderr.write("\r\x1b[K");
  }
}

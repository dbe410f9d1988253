import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { SetupError } from "../setupError";

/** Printed after each answer, and followed by whether the last statement failed, and why; no answer has it. */
const END = "citus-sharding: end of the answer";

/**
 * A session of psql in a database container: it needs neither a published port, which may be about to change, nor a
 * password. It ends with this process, and with it the locks that it holds.
 */
export class PsqlSession {
  private answer = "";
  private problem = "";
  private ended = false;
  private waiting: { resolve: (answer: string) => void; reject: (error: Error) => void } | undefined;
  private readonly child: ChildProcessWithoutNullStreams;

  constructor(readonly container: string) {
    this.child = spawn("docker", ["exec", "--interactive", container, "psql", "-U", "postgres", "-XqAt"]);
    this.child.stdin.on("error", () => undefined); // Its end is told by `close`.
    this.child.on("error", ({ message }) => this.end(message));
    this.child.on("close", () => this.end(this.problem.trim() || "the session ended"));
    this.child.stdout.setEncoding("utf8").on("data", (text: string) => this.take(text));
    this.child.stderr.setEncoding("utf8").on("data", (text: string) => (this.problem += text));
  }

  /** What a statement prints. @throws {@link SetupError} with the server's reason, or if no answer comes in time. */
  async ask(statement: string, timeoutMs = 10_000): Promise<string> {
    if (this.ended) throw new SetupError(`${this.container}: the session ended`);
    this.answer = "";
    const timer = setTimeout(() => this.fail(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
    try {
      return await new Promise<string>((resolve, reject) => {
        this.waiting = { resolve, reject };
        this.child.stdin.write(`${statement};\n\\echo ${END} :ERROR :LAST_ERROR_MESSAGE\n`);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.child.stdin.end();
    this.child.kill("SIGKILL");
  }

  private take(text: string): void {
    this.answer += text;
    const end = this.answer.indexOf(END);
    if (end < 0 || !this.answer.endsWith("\n")) return;
    const [failed = "", ...words] = this.answer.slice(end + END.length).trim().split(" ");
    if (failed === "true") return this.fail(words.join(" "));
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.resolve(this.answer.slice(0, end).trim());
  }

  private end(message: string): void {
    this.ended = true;
    this.fail(message);
  }

  private fail(message: string): void {
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.reject(new SetupError(`${this.container}: ${message}`));
  }
}

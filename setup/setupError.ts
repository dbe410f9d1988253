/** Why a set-up ended: one sentence for a person, which names the node and a way on, and holds no secret. */
export class SetupError extends Error {
  constructor(sentence: string) {
    super(sentence);
    this.name = "SetupError";
  }
}

/** What of an error a reader learns from; PostgreSQL's have a detail and a hint. */
type Explained = Partial<Record<"message" | "code" | "detail" | "hint", string>>;

/** What went wrong, on one line without a full stop: an error's message, detail and hint, or a node's answer. */
export function reason(error: unknown): string {
  const answer = typeof error === "string" ? error : "no answer";
  const { message = answer, code = "", detail, hint } = error instanceof Error ? (error as Explained) : {};
  const parts = [message === "" ? code : message, detail, hint].filter((part) => part !== undefined);
  return parts.map((part) => part.replace(/^ERROR:\s+/, "").replace(/\s+/g, " ").replace(/\.$/, "")).join("; ");
}

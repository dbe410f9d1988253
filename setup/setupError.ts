/** Why a set-up ended: one sentence for a person, which names the node and a way on, and holds no secret. */
export class SetupError extends Error {
  constructor(sentence: string) {
    super(sentence);
    this.name = "SetupError";
  }
}

/** What went wrong, on one line without a full stop: PostgreSQL's message with its detail and hint, another error's message, or a node's answer. */
export function reason(error: unknown): string {
  const { message = typeof error === "string" ? error : "no answer", code = "", detail, hint } = error instanceof Error ? (error as { message: string; code?: string; detail?: string; hint?: string }) : {};
  const parts = [message === "" ? code : message, detail, hint].filter((part) => part !== undefined);
  return parts.map((part) => part.replace(/^ERROR:\s+/, "").replace(/\s+/g, " ").replace(/\.$/, "")).join("; ");
}

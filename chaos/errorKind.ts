const LONGEST = 160;

/** An error's text without what differs between errors of one kind: UUIDs and numbers. A SQLSTATE that it begins with stays. */
export function errorKind(text: string): string {
  const [code = ""] = /^[0-9A-Z]{5} /.exec(text) ?? [];
  const folded = text
    .slice(code.length)
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, "<uuid>")
    .replace(/\d+(?:[.:-]\d+)*/g, "#")
    .replace(/\s+/g, " ")
    .trim();
  return code + (folded.length > LONGEST ? `${folded.slice(0, LONGEST - 1)}…` : folded);
}

const LONGEST = 160;

/** An error's text without what differs between errors of one kind: UUIDs, numbers, keys. */
export function errorKind(text: string): string {
  const folded = text
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, "<uuid>")
    .replace(/\d+(?:[.:-]\d+)*/g, "#")
    .replace(/\s+/g, " ")
    .trim();
  return folded.length > LONGEST ? `${folded.slice(0, LONGEST - 1)}…` : folded;
}

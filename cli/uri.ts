import { connectionUris } from "./connections";
import { Failure } from "./failure";

/** `npm run -s uri -- <stack> [name]`: prints a connection URI, and nothing else. */
export async function uri(stack: string, which: string | undefined, json: boolean): Promise<void> {
  const uris = await connectionUris(stack);
  if (json) return console.log(JSON.stringify(uris, undefined, 2));
  const names = Object.keys(uris);
  const chosen = uris[which ?? (names.includes("leader") ? "leader" : (names[0] ?? ""))];
  if (chosen === undefined) throw new Failure(`${stack} has no URI "${which ?? ""}": it has ${names.join(", ")}. For example: npm run -s uri -- ${stack} ${names[0] ?? ""}`);
  console.log(chosen);
}

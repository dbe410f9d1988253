import { reason } from "../setup/setupError";

/** An error of the router as the history has it: its class first, so that a look at the history tells whose error it was. */
export function toldByRouter(error: Error): string {
  return `${error.name}: ${reason(error)}`;
}

/** Whether a text of the history is an error of the router. */
export function isOfRouter(text: string): boolean {
  return /^[A-Z][A-Za-z]*Error: /.test(text);
}

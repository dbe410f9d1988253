/** What is to be done before a container may be replaced. */
export type Verdict =
  /** Nothing: the rest of its group is whole. */
  | { readonly kind: "go" }
  /** Nothing is lost by replacing it, if this stays so for a while: it serves nothing, or nothing of the group serves. */
  | { readonly kind: "repair"; readonly because: string; readonly afterSeconds: number }
  /** Another member is not whole. `progress` changes while it is coming back. */
  | { readonly kind: "wait"; readonly member: string; readonly because: string; readonly limitSeconds: number; readonly progress?: string }
  /** Something that makes it so. */
  | { readonly kind: "act"; readonly doing: string; act(): Promise<void> };

/** A live group of containers, of which one is about to be replaced. */
export interface Group {
  /** Looks once. */
  look(): Promise<Verdict>;
  /** What is done last, when it is that container's turn. */
  leave?(): Promise<void>;
  close?(): void;
}

/** How long a member that is not whole is waited for, in seconds. */
export const PATIENCE_SECONDS = 300;
/** How long a container has to serve nothing before it counts as broken, in seconds. */
export const BROKEN_SECONDS = 10;
/** How long a group has to have nobody who leads before it counts as down: longer than a lease of 20 s that has to expire. */
export const DOWN_SECONDS = 30;

/** What is done to a tenant goes through here one by one and side by side, and is held back while somebody compares. */
export class Gate {
  private running = 0;
  private opened: Promise<void> | undefined;
  private open: () => void = () => undefined;
  private idle: () => void = () => undefined;

  /** Does something once the gate is open. */
  async pass<Result>(work: () => Promise<Result>): Promise<Result> {
    while (this.opened !== undefined) await this.opened;
    this.running += 1;
    try {
      return await work();
    } finally {
      this.running -= 1;
      if (this.running === 0) this.idle();
    }
  }

  /** Does something while nothing else passes, after all that is under way has ended. */
  async alone<Result>(work: () => Promise<Result>): Promise<Result> {
    this.opened = new Promise((resolve) => (this.open = resolve));
    try {
      if (this.running > 0) await new Promise<void>((resolve) => (this.idle = resolve));
      return await work();
    } finally {
      this.opened = undefined;
      this.idle = () => undefined;
      this.open();
    }
  }
}

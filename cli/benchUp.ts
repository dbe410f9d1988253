export async function benchUp(_stacks: string[], _o: { runs: number; replace: boolean; json: boolean }): Promise<void> {}

import type { Random } from "./random";

/** Each of the items in order, `times` over. */
export function* inOrder<Item>(items: readonly Item[], times: number): Generator<Item> {
  for (let round = 0; round < times; round += 1) yield* items;
}

/** Items by chance, without end until `goesOn` says so. */
export function* byChance<Item>(items: readonly Item[], random: Random, goesOn: () => boolean): Generator<Item> {
  while (goesOn()) {
    const item = random.pick(items);
    if (item === undefined) return;
    yield item;
  }
}

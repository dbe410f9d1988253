import type { Random } from "../../../chaos/random";
import { FAULTS, STEPS, type Fault, type Step } from "./faults";

/** What is to happen to one move, and when. */
export interface Planned {
  readonly fault: Fault;
  readonly step: Step;
  /** Whether it happens some time after the step, while the mover goes on; else the mover waits at the step until it has happened. */
  readonly between: boolean;
}

/** One move in so many has nothing happen to it. */
const UNDISTURBED = 5;

/**
 * What happens to so many moves: every combination of fault and step in an order by chance, each once before any comes a second time, and one move in five that is left alone. A combination that comes again happens the
 * other way: at its step where it was in between, in between where it was at its step.
 */
export function deal(random: Random, times: number, faults: readonly Fault[] = FAULTS): Planned[] {
  const combinations = faults.flatMap((fault) => STEPS.map((step) => ({ fault, step, between: random.next() < 0.5 })));
  const planned: Planned[] = [];
  let [deck, flipped, quiet]: [Planned[], boolean, number] = [[], true, 0];
  while (planned.length < times) {
    const place = planned.length % UNDISTURBED;
    if (place === 0) quiet = random.between(0, UNDISTURBED - 1);
    if (place === quiet) {
      planned.push({ fault: { kind: "nothing" }, step: "announced", between: false });
      continue;
    }
    if (deck.length === 0) {
      flipped = !flipped;
      const another = flipped;
      deck = shuffled(combinations, random).map((combination) => ({ ...combination, between: combination.between !== another }));
    }
    planned.push(deck.pop() as Planned);
  }
  return planned;
}

function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const shuffled = [...items];
  for (let last = shuffled.length - 1; last > 0; last -= 1) {
    const other = random.between(0, last);
    [shuffled[last], shuffled[other]] = [shuffled[other] as Item, shuffled[last] as Item];
  }
  return shuffled;
}

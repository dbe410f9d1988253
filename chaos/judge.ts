import { Checker, type Verdict } from "./checker";
import { gapChart } from "./gapChart";
import { Gaps, summarize, type FaultEffect, type FaultSummary } from "./gaps";
import type { HistoryEvent, RunEvent } from "./history";
import { assess, type Assessment, type Limit, type Objectives } from "./objectives";
import { Timeline } from "./timeline";

/** All that a history tells. */
export interface Judgement {
  /** The run's first event; absent if the history has none. */
  readonly run?: RunEvent;
  readonly verdict: Verdict;
  readonly effects: readonly FaultEffect[];
  readonly summaries: readonly FaultSummary[];
  readonly assessments: readonly Assessment[];
  readonly limits: readonly Limit[];
  /** Whether every objective was met. */
  readonly met: boolean;
  /** The pictures, as SVG: the run in time, and all faults compared. */
  readonly timeline: string;
  readonly chart: string;
}

/** Judges a history in one pass by what its first event says was asked of it, or by other objectives. */
export async function judge(events: Iterable<HistoryEvent> | AsyncIterable<HistoryEvent>, asked: { readonly objectives?: Objectives; readonly limits?: readonly Limit[] } = {}): Promise<Judgement> {
  const [checker, gaps, timeline] = [new Checker(), new Gaps(), new Timeline()];
  let run: RunEvent | undefined;
  for await (const event of events) {
    if (event.type === "run") run = event;
    checker.add(event);
    gaps.add(event);
    timeline.add(event);
  }
  const verdict = checker.verdict();
  const effects = gaps.effects();
  const summaries = summarize(effects);
  const limits = asked.limits ?? run?.limits ?? [];
  const assessments = assess(verdict, summaries, asked.objectives ?? run?.objectives ?? { rpo: 0 }, limits);
  return {
    ...(run !== undefined && { run }),
    verdict,
    effects,
    summaries,
    assessments,
    limits,
    met: assessments.every(({ met }) => met),
    timeline: timeline.svg(effects),
    chart: gapChart(effects, limits, run?.stack ?? ""),
  };
}

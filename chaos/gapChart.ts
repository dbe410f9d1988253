import { summarize, type FaultEffect } from "./gaps";
import type { Limit } from "./objectives";
import { escaped, picture, px } from "./svg";

const WIDTH = 900;
const LEFT = 190;
const PLOT = 560;
const TOP = 76;
const ROW = 28;
/** The axis begins here: what is shorter is drawn at its beginning. */
const LEAST_SECONDS = 0.01;
const RADIUS = 4.5;

/** Compares kinds of faults: for each a dot per run, by the longest gap on a logarithmic axis, and the limit as a tick. */
export function gapChart(effects: readonly FaultEffect[], limits: readonly Limit[], stack: string): string {
  const summaries = summarize(effects);
  const longest = Math.max(1, ...effects.map(({ gap }) => (gap?.ms ?? 0) / 1000), ...limits.map(({ ms }) => ms / 1000).filter((_, index) => summaries.some(({ fault, role }) => fault === limits[index]?.fault && role === limits[index]?.role)));
  const decades = Math.ceil(Math.log10(longest / LEAST_SECONDS) - 1e-9);
  const x = (ms: number): number => LEFT + (Math.log10(Math.max(ms / 1000, LEAST_SECONDS) / LEAST_SECONDS) / decades) * PLOT;
  const bottom = TOP + summaries.length * ROW;
  const ticks = Array.from({ length: decades + 1 }, (_, decade) => LEAST_SECONDS * 10 ** decade);
  const title = `Longest time without an acknowledged write, by fault${stack === "" ? "" : `: ${stack}`}`;
  const rows = summaries.flatMap(({ fault, role, times, gapMs }, index) => {
    const middle = TOP + index * ROW + ROW / 2;
    const limit = limits.find((candidate) => candidate.fault === fault && candidate.role === role)?.ms;
    const own = effects.filter((effect) => effect.fault === fault && effect.role === role);
    const dots = own.flatMap(({ number, gap }, dot) => {
      if (gap === undefined) return [];
      // A little apart, so that equal ones do not hide one another.
      const y = middle + (own.length === 1 ? 0 : (((dot * 7) % 5) - 2) * 2.2);
      const over = limit !== undefined && gap.ms > limit;
      return [`<circle class="${over ? "miss" : "ok"}" fill-opacity=".75" cx="${px(x(gap.ms))}" cy="${px(y)}" r="${RADIUS}"><title>${escaped(`fault ${number}: ${(gap.ms / 1000).toFixed(2)} s, shard ${gap.shard}`)}</title></circle>`];
    });
    const figure = gapMs === undefined ? "no writes" : `max ${(gapMs.max / 1000).toFixed(2)} s${limit === undefined ? "" : ` of ${(limit / 1000).toFixed(2)} s`}`;
    return [
      ...(index % 2 === 0 ? [`<rect class="row" x="${LEFT}" y="${TOP + index * ROW}" width="${PLOT}" height="${ROW}"/>`] : []),
      `<text x="${LEFT - 10}" y="${middle + 4}" text-anchor="end">${escaped(`${fault}, ${role}${times > 1 ? ` ×${times}` : ""}`)}</text>`,
      ...(limit === undefined ? [] : [`<path class="limit" d="M${px(x(limit))} ${middle - 10}v20"/>`]),
      ...dots,
      `<text class="s" x="${LEFT + PLOT + 10}" y="${middle + 4}">${figure}</text>`,
    ];
  });
  const grid = ticks.map((seconds) => `<path class="axis" d="M${px(x(seconds * 1000))} ${TOP}V${bottom + 5}"/><text class="s" x="${px(x(seconds * 1000))}" y="${bottom + 18}" text-anchor="middle">${Number(seconds.toPrecision(1))}</text>`);
  return picture(WIDTH, bottom + 48, title, [
    `<text class="t" x="16" y="28">${escaped(title)}</text>`,
    `<circle class="ok" cx="22" cy="48" r="${RADIUS}"/><text x="32" y="52">a fault within its limit, or without one</text>`,
    `<circle class="miss" cx="282" cy="48" r="${RADIUS}"/><text x="292" y="52">over its limit</text><path class="limit" d="M392 40v16"/><text x="400" y="52">limit</text>`,
    // Grid and rows: the first row's background must not hide the grid.
    ...rows.filter((line) => line.startsWith("<rect")),
    ...grid,
    ...rows.filter((line) => !line.startsWith("<rect")),
    `<text class="s" x="${LEFT + PLOT / 2}" y="${bottom + 36}" text-anchor="middle">seconds, logarithmic</text>`,
  ]);
}

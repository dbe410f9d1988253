import type { FaultEffect } from "./gaps";
import type { HistoryEvent, RunEvent } from "./history";
import { inSeconds } from "./inSeconds";
import { rebinned } from "./rebinned";
import { escaped, outlined, picture, px } from "./svg";
import { ticks } from "./ticks";

const BIN_MS = 100;
const WIDTH = 1200;
const LEFT = 130;
const RIGHT = 24;
const PLOT = WIDTH - LEFT - RIGHT;
/** Cells of all rows together, so that the file of a long run with many shards stays well below 1 MB. */
const MOST_CELLS = 25_000;
const MOST_TICKS = 12;
/** Rows of labels above the plot. */
const LANES = 4;
const LANE_HEIGHT = 15;
const LETTER = 6.9;
/** Shorter gaps are as usual, and not marked. */
const LEAST_GAP_MS = 100;
const MOST_GAP_LABELS = 30;

/** What was counted of a shard in each time of {@link BIN_MS}; absent where nothing was. */
interface Row {
  readonly acknowledged: (number | undefined)[];
  readonly failed: (number | undefined)[];
}

/** Draws a run in time: acknowledged writes and failed requests of each shard, faults until they had healed, and the gaps. */
export class Timeline {
  private readonly rows = new Map<string, Row>();
  private run: RunEvent | undefined;
  private end = 0;

  add(event: HistoryEvent): void {
    if (event.type === "run") {
      this.run = event;
      event.shards.forEach((shard) => this.row(shard));
    }
    if (event.type !== "insert" && event.type !== "increment" && event.type !== "transfer" && event.type !== "read") {
      // What is read back at the end is no part of the picture.
      if (event.type !== "final") this.end = Math.max(this.end, event.at);
      return;
    }
    const at = event.at + event.ms;
    this.end = Math.max(this.end, at);
    const bin = Math.max(0, Math.floor(at / BIN_MS));
    for (const shard of event.type === "transfer" ? event.shards : [event.shard]) {
      const { acknowledged, failed } = this.row(shard);
      if (event.outcome !== "ok") failed[bin] = (failed[bin] ?? 0) + 1;
      else if (event.type !== "read") acknowledged[bin] = (acknowledged[bin] ?? 0) + 1;
    }
  }

  svg(effects: readonly FaultEffect[]): string {
    const rows = [...this.rows];
    const end = Math.max(this.end, BIN_MS);
    const x = (ms: number): number => LEFT + (Math.min(Math.max(ms, 0), end) / end) * PLOT;
    const binMs = BIN_MS * Math.max(1, Math.ceil(end / BIN_MS / Math.min(PLOT, MOST_CELLS / Math.max(1, rows.length))));
    const height = rows.length > 40 ? 12 : rows.length > 16 ? 18 : 26;
    const top = 66 + LANES * LANE_HEIGHT;
    const bottom = top + rows.length * height;
    const title = `Chaos on ${this.run?.stack ?? "a stack"}`;
    const fullest = rows.map(([, { acknowledged }]) => rebinned(acknowledged, binMs / BIN_MS).reduce<number>((most, count) => Math.max(most, count ?? 0), 0));
    const scale = Math.max(1, ...fullest);
    const content = [
      `<text class="t" x="16" y="28">${escaped(title)}</text>`,
      `<text class="s" x="16" y="46">${escaped(`${this.run === undefined ? "" : `${this.run.startedAt}, seed ${this.run.seed}, `}${rows.length} shards, ${effects.length} faults; bars are acknowledged writes per ${binMs} ms, up to ${scale}`)}</text>`,
      ...legend(),
      ...rows.map((_, index) => (index % 2 === 0 ? `<rect class="row" x="${LEFT}" y="${top + index * height}" width="${PLOT}" height="${height}"/>` : "")).filter((line) => line !== ""),
      ...axis(end, x, top, bottom),
      ...bands(effects, end, x, top, bottom),
      ...rows.flatMap(([shard, row], index) => drawn(shard, row, binMs, x, end, top + index * height, height, scale)),
      ...gaps(effects, rows.map(([shard]) => shard), x, top, height),
    ];
    return picture(WIDTH, bottom + 48, title, content);
  }

  private row(shard: string): Row {
    const known = this.rows.get(shard);
    if (known !== undefined) return known;
    const row: Row = { acknowledged: [], failed: [] };
    this.rows.set(shard, row);
    return row;
  }
}

function legend(): string[] {
  const y = 22;
  return [
    `<rect class="ok bar" x="744" y="${y - 4}" width="14" height="10"/><text x="763" y="${y + 5}">acknowledged</text>`,
    `<path class="bad" d="M857 ${y - 4}v10M861 ${y - 4}v10"/><text x="868" y="${y + 5}">failed</text>`,
    `<rect class="band" x="922" y="${y - 4}" width="14" height="10"/><path class="edge" d="M922.5 ${y - 4}v10"/><text x="941" y="${y + 5}">fault until healed</text>`,
    `<rect class="gap" x="1062" y="${y - 4}" width="14" height="10"/><text x="1081" y="${y + 5}">longest gap</text>`,
  ];
}

function axis(end: number, x: (ms: number) => number, top: number, bottom: number): string[] {
  return [
    ...ticks(0, end, MOST_TICKS).map((tick) => `<path class="axis" d="M${px(x(tick))} ${top}V${bottom + 5}"/><text class="s" x="${px(x(tick))}" y="${bottom + 18}" text-anchor="middle">${Math.round(tick / 100) / 10}</text>`),
    `<text class="s" x="${LEFT + PLOT / 2}" y="${bottom + 36}" text-anchor="middle">seconds since the run began</text>`,
  ];
}

/** Faults as bands over all rows; their names stand above one another where they would overlap, or are left out. */
function bands(effects: readonly FaultEffect[], end: number, x: (ms: number) => number, top: number, bottom: number): string[] {
  const free = Array.from({ length: LANES }, () => 0);
  return effects.flatMap((effect, index) => {
    const { number, fault, role, targets, at, healedAt, problem } = effect;
    const until = healedAt ?? effects[index + 1]?.at ?? end;
    const [from, to] = [x(at), x(until)];
    const described = `${number}: ${fault} of ${targets.join(", ")} (${role}) at ${(at / 1000).toFixed(2)} s, ${healedAt === undefined ? `not healed${problem === undefined ? "" : `: ${problem}`}` : `healed after ${((healedAt - at) / 1000).toFixed(1)} s`}`;
    const texts = [`${number} ${fault}, ${role}`, `${number} ${fault}`, String(number)];
    const fits = texts.flatMap((text) => free.map((taken, lane) => ({ text, lane, taken }))).find(({ text, taken }) => taken <= from && from + text.length * LETTER <= WIDTH);
    if (fits !== undefined) free[fits.lane] = from + fits.text.length * LETTER + 8;
    const y = fits === undefined ? top : top - 8 - fits.lane * LANE_HEIGHT;
    return [
      `<g><title>${escaped(described)}</title><rect class="band" x="${px(from)}" y="${top}" width="${px(Math.max(1, to - from))}" height="${bottom - top}"/>`,
      `<path class="${healedAt === undefined ? "bad" : "edge"}" d="M${px(from)} ${y + 2}V${bottom}"${healedAt === undefined ? ' stroke-dasharray="4 3"' : ""}/>`,
      ...(fits === undefined ? [] : [outlined(from + 2, y, "start", fits.text)]),
      "</g>",
    ];
  });
}

/** A shard's row: one path for what was acknowledged, and one for what failed. */
function drawn(shard: string, row: Row, binMs: number, x: (ms: number) => number, end: number, top: number, height: number, scale: number): string[] {
  const factor = binMs / BIN_MS;
  const base = top + height - 1;
  const bars = rebinned(row.acknowledged, factor).flatMap((count, bin) => {
    if (count === undefined) return [];
    const [from, to] = [x(bin * binMs), x(Math.min(end, (bin + 1) * binMs))];
    return [`M${px(from)} ${base}V${px(base - Math.max(1, (count / scale) * (height - 4)))}H${px(to)}V${base}`];
  });
  const ticks = rebinned(row.failed, factor).flatMap((count, bin) => (count === undefined ? [] : [`M${px(x(Math.min(end, (bin + 0.5) * binMs)))} ${top + 1}v${px(height / 2.5)}`]));
  const name = shard.length > 18 ? `${shard.slice(0, 17)}…` : shard;
  return [
    `<text class="s" x="${LEFT - 8}" y="${px(top + height / 2 + 4)}" text-anchor="end">${escaped(name)}</text>`,
    ...(bars.length > 0 ? [`<path class="ok bar" d="${bars.join("")}"/>`] : []),
    ...(ticks.length > 0 ? [`<path class="bad" d="${ticks.join("")}"/>`] : []),
  ];
}

/** The longest gap of each fault. The longest of all get their seconds written beside them, where there is room. */
function gaps(effects: readonly FaultEffect[], shards: readonly string[], x: (ms: number) => number, top: number, height: number): string[] {
  const marked = effects.flatMap(({ number, gap }) => (gap === undefined || gap.ms < LEAST_GAP_MS ? [] : [{ number, gap, y: top + shards.indexOf(gap.shard) * height }]));
  const marks = marked.map(({ number, gap, y }) => {
    const [from, to] = [x(gap.from), x(gap.to)];
    const described = `fault ${number}: ${gap.shard} acknowledged no write for ${inSeconds(gap.ms)}${gap.open ? ", and none after" : ""}`;
    return `<g><title>${escaped(described)}</title><rect class="gap" x="${px(from)}" y="${y + 1}" width="${px(Math.max(2, to - from))}" height="${height - 2}"/></g>`;
  });
  const taken: { readonly y: number; readonly from: number; readonly to: number }[] = [];
  const labels = [...marked].sort((a, b) => b.gap.ms - a.gap.ms).slice(0, MOST_GAP_LABELS).flatMap(({ gap, y }) => {
    const text = inSeconds(gap.ms);
    const room = text.length * LETTER + 6;
    const right = x(gap.to) + room <= WIDTH;
    const from = right ? x(gap.to) : x(gap.from) - room;
    if (taken.some((other) => other.y === y && other.from < from + room && from < other.to)) return [];
    taken.push({ y, from, to: from + room });
    return [outlined(right ? from + 3 : from + room - 3, y + height / 2 + 4, right ? "start" : "end", text)];
  });
  return [...marks, ...labels];
}

import { percentile } from "../chaos/percentile";
import { rebinned } from "../chaos/rebinned";
import { escaped, picture, px } from "../chaos/svg";
import { ticks } from "../chaos/ticks";
import { WARM_UP_MS, type FaultCost } from "./cost";
import { share } from "./figures";
import { BIN_MS } from "./timeline";

/** Faults below one another, those of one stack. */
export interface PictureColumn {
  readonly heading: string;
  /** Each row of the picture has a fault, or a hole. */
  readonly faults: readonly (FaultCost | undefined)[];
}

const MARGIN = 16;
const TOP = 78;
const COLUMN_HEADING = 24;
const LABEL = 74;
const ROW = 44;
/** Above and below the rows of a panel: its title, and its axis. */
const PANEL_TITLE = 40;
const PANEL_AXIS = 42;
const COLUMN_GAP = 28;
const WIDTHS: Readonly<Record<number, number>> = { 1: 1100, 2: 620 };
const NARROW = 460;
const PIXELS_PER_TICK = 70;
/** Bars that are narrower than this are put together. */
const LEAST_BAR = 1.2;
/** A bar of the usual height; clients that have waited write more than that afterwards, which is cut off. */
const USUAL_SHARE = 0.7;

/** A place on the picture. */
interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  /** Moments from the fault on that all panels show. */
  readonly fromMs: number;
  readonly toMs: number;
}

/** Draws what faults did to acknowledged writes, in time: a column for each stack, below one another its faults, in each of them a row for each cluster. All have one axis. */
export function blastPicture(title: string, columns: readonly PictureColumn[]): string {
  const width = WIDTHS[columns.length] ?? NARROW;
  const faults = columns.flatMap((column) => column.faults.flatMap((fault) => fault ?? []));
  const fromMs = Math.min(-BIN_MS, ...faults.map(({ timeline }) => timeline.fromMs + WARM_UP_MS));
  const toMs = Math.max(BIN_MS, ...faults.map(endOf));
  const content: string[] = [];
  let top = TOP + COLUMN_HEADING;
  for (let row = 0; row < Math.max(0, ...columns.map((column) => column.faults.length)); row += 1) {
    const panels = columns.map((column) => column.faults[row]);
    panels.forEach((fault, index) => {
      if (fault !== undefined) content.push(...panel(fault, { left: MARGIN + index * (width + COLUMN_GAP), top, width, fromMs, toMs }));
    });
    top += PANEL_TITLE + Math.max(1, ...panels.map((fault) => Object.keys(fault?.clusters ?? {}).length)) * ROW + PANEL_AXIS;
  }
  const whole = 2 * MARGIN + columns.length * width + Math.max(0, columns.length - 1) * COLUMN_GAP;
  return picture(whole, top + MARGIN, title, [
    `<text class="t" x="${MARGIN}" y="28">${escaped(title)}</text>`,
    ...legend(),
    ...columns.map(({ heading }, index) => `<text class="h" style="font-size:14px" x="${MARGIN + index * (width + COLUMN_GAP)}" y="${TOP + 12}">${escaped(heading)}</text>`),
    ...content,
  ]);
}

function legend(): string[] {
  const y = 50;
  return [
    `<rect class="ok bar" x="${MARGIN}" y="${y - 9}" width="14" height="10"/><text x="${MARGIN + 19}" y="${y}">acknowledged writes, of what is usual</text>`,
    `<path class="bad" d="M${MARGIN + 264} ${y - 9}v10M${MARGIN + 268} ${y - 9}v10"/><text x="${MARGIN + 275}" y="${y}">failed writes</text>`,
    `<rect class="band" x="${MARGIN + 368}" y="${y - 9}" width="14" height="10"/><text x="${MARGIN + 387}" y="${y}">dead</text>`,
    `<path class="limit" d="M${MARGIN + 436} ${y - 9}v10"/><text x="${MARGIN + 443}" y="${y}">whole again</text>`,
  ];
}

function panel(fault: FaultCost, frame: Frame): string[] {
  const { left, width, fromMs, toMs } = frame;
  const plot = { ...frame, left: left + LABEL, top: frame.top + PANEL_TITLE, width: width - LABEL };
  const x = (ms: number): number => plot.left + ((Math.min(Math.max(ms, fromMs), toMs) - fromMs) / (toMs - fromMs)) * plot.width;
  const rows = Object.keys(fault.clusters);
  const bottom = plot.top + rows.length * ROW;
  const deadUntil = x(fault.revivedAfterMs ?? toMs);
  return [
    `<text class="h" x="${left}" y="${frame.top + 14}">${escaped(`${fault.victim} killed`)}</text>`,
    `<text class="s" x="${left}" y="${frame.top + 30}">${escaped(sentence(fault))}</text>`,
    ...rows.map((_, index) => `<rect class="row" x="${plot.left}" y="${plot.top + index * ROW}" width="${px(plot.width)}" height="${ROW - 2}"/>`),
    ...ticks(fromMs, toMs, Math.floor(plot.width / PIXELS_PER_TICK)).map(
      (tick) => `<path class="axis" d="M${px(x(tick))} ${plot.top}V${bottom + 3}"/><text class="s" x="${px(x(tick))}" y="${bottom + 16}" text-anchor="middle">${Math.round(tick / 100) / 10}</text>`,
    ),
    `<text class="s" x="${px(plot.left + plot.width / 2)}" y="${bottom + 30}" text-anchor="middle">seconds from the fault</text>`,
    `<rect class="band" x="${px(x(0))}" y="${plot.top}" width="${px(Math.max(1, deadUntil - x(0)))}" height="${bottom - plot.top}"/>`,
    ...rows.flatMap((cluster, index) => bars(fault, cluster, x, plot, plot.top + index * ROW)),
    ...(fault.wholeAfterMs === undefined ? [] : [`<path class="limit" d="M${px(x(fault.wholeAfterMs))} ${plot.top}V${bottom}"/>`]),
  ];
}

/** A cluster's row: its name and number of tenants, one path for what was acknowledged, and one for what failed. */
function bars({ timeline, clusters }: FaultCost, cluster: string, x: (ms: number) => number, { width, left, fromMs, toMs }: Frame, top: number): string[] {
  const { acknowledged = [], failed = [] } = timeline.clusters[cluster] ?? {};
  const factor = Math.max(1, Math.ceil((((toMs - fromMs) / BIN_MS) * LEAST_BAR) / width));
  const base = top + ROW - 2;
  const usual = usualCount(acknowledged, timeline.fromMs) * factor;
  const at = (bin: number): number => timeline.fromMs + bin * BIN_MS * factor;
  const drawn = rebinned(acknowledged, factor).flatMap((count = 0, bin) => {
    if (count === 0 || at(bin) < fromMs) return [];
    const height = Math.min(1, (count / usual) * USUAL_SHARE) * (ROW - 6);
    return [`M${px(x(at(bin)))} ${base}V${px(base - Math.max(1, height))}H${px(x(at(bin + 1)))}V${base}`];
  });
  const crosses = rebinned(failed, factor).flatMap((count = 0, bin) => (count === 0 || at(bin) < fromMs ? [] : [`M${px(x(at(bin + 0.5)))} ${top}v7`]));
  return [
    `<text x="${left - 8}" y="${top + 18}" text-anchor="end">${escaped(shortened(cluster))}</text>`,
    `<text class="s" x="${left - 8}" y="${top + 33}" text-anchor="end">${clusters[cluster]?.tenants ?? 0} tenants</text>`,
    ...(drawn.length > 0 ? [`<path class="ok bar" d="${drawn.join("")}"/>`] : []),
    ...(crosses.length > 0 ? [`<path class="bad" d="${crosses.join("")}"/>`] : []),
  ];
}

/** Acknowledged writes in a bin before the fault, once connections are open. */
function usualCount(acknowledged: readonly number[], fromMs: number): number {
  const before = acknowledged.slice(WARM_UP_MS / BIN_MS, -fromMs / BIN_MS);
  return before.length === 0 ? 1 : Math.max(1, percentile(before, 50));
}

function sentence({ all }: FaultCost): string {
  const stopped = `${share(all.couldNotWrite, all.tenants)} of all tenants could not write${all.gapMs === undefined ? "" : `, for ${(all.gapMs.p50 / 1000).toFixed(1)} s (median) to ${(all.gapMs.max / 1000).toFixed(1)} s`}`;
  return `${stopped}; ${all.lost ?? "unknown"} acknowledged writes lost`;
}

function endOf({ timeline }: FaultCost): number {
  return timeline.fromMs + BIN_MS * Math.max(0, ...Object.values(timeline.clusters).map(({ acknowledged }) => acknowledged.length));
}

function shortened(name: string): string {
  return name.length > 10 ? `${name.slice(0, 9)}…` : name;
}

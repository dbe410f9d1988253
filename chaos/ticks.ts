const STEPS_MS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].map((seconds) => seconds * 1000);

/** Round moments between two, both in milliseconds, at which an axis of time has its ticks: not many more than `most`. */
export function ticks(from: number, to: number, most: number): number[] {
  const step = STEPS_MS.find((candidate) => (to - from) / candidate <= most) ?? (to - from) / most;
  const [first, last] = [Math.ceil(from / step), Math.floor(to / step)];
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
}

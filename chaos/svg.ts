/** Text as XML has it, within an element or an attribute. */
export function escaped(text: string): string {
  // Control characters have no form in XML at all.
  const printable = Array.from(text, (character) => (character < " " && !"\t\n\r".includes(character) ? " " : character)).join("");
  return printable.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** A coordinate, to a tenth of a pixel. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Bold text that is readable on whatever is below it. Its outline is an element of its own: not every program draws an outline behind the letters. */
export function outlined(x: number, y: number, anchor: "start" | "end", text: string): string {
  const place = `x="${px(x)}" y="${px(y)}" text-anchor="${anchor}"`;
  return `<text class="h halo" ${place} aria-hidden="true">${escaped(text)}</text><text class="h" ${place}>${escaped(text)}</text>`;
}

/** The looks of all pictures, readable on light and on dark pages. */
const LIGHT = ".page{fill:#ffffff}text{fill:#1f2937}.s{fill:#4b5563}.halo{stroke:#ffffff;fill:#ffffff}.axis{stroke:#cbd5e1}.row{fill:#f8fafc}.ok{fill:#3b82f6}.bad{stroke:#dc2626}.miss{fill:#dc2626}.band{fill:#64748b}.edge{stroke:#475569}.gap{fill:#f97316}.limit{stroke:#111827}";
const DARK = ".page{fill:#0f172a}text{fill:#e5e7eb}.s{fill:#cbd5e1}.halo{stroke:#0f172a;fill:#0f172a}.axis{stroke:#475569}.row{fill:#1e293b}.ok{fill:#60a5fa}.bad{stroke:#f87171}.miss{fill:#f87171}.band{fill:#94a3b8}.edge{stroke:#cbd5e1}.gap{fill:#fb923c}.limit{stroke:#f9fafb}";
const FORMS =
  'text{font-family:ui-sans-serif,system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;font-size:12px}.t{font-size:17px;font-weight:600}.s{font-size:11px}.h{font-size:11px;font-weight:600}' +
  ".halo{stroke-width:3.5px;stroke-linejoin:round}.axis{stroke-width:1}.bar{fill-opacity:.6}.bad{stroke-width:1.2;fill:none}.band{fill-opacity:.2}.edge{stroke-width:1;fill:none}.gap{fill-opacity:.75}.limit{stroke-width:2.5}";

/** A whole picture of lines of SVG, with its background. */
export function picture(width: number, height: number, label: string, content: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${px(width)} ${px(height)}" width="${px(width)}" height="${px(height)}" role="img" aria-label="${escaped(label)}">`,
    `<style>${FORMS}${LIGHT}@media (prefers-color-scheme: dark){${DARK}}</style>`,
    `<rect class="page" width="${px(width)}" height="${px(height)}"/>`,
    ...content,
    "</svg>",
    "",
  ].join("\n");
}

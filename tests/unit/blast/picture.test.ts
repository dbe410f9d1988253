import { expect, test } from "vitest";
import { blastPicture } from "../../../blast/picture";
import { elements } from "../chaos/elements";
import { activeReport, passiveReport } from "./reports";

test("a picture has a panel for each fault, and in it a row for each cluster", () => {
  const svg = blastPicture('What a failure costs: "a" & <b>', [{ heading: "2 clusters", faults: [...activeReport("worker").faults, ...activeReport().faults] }]);
  elements(svg);
  for (const text of ["worker:worker_a1 killed", "cluster:a killed", "50 % of all tenants could not write, for 2.0 s (median) to 2.0 s; 0 acknowledged writes lost", ">2 tenants<", "seconds from the fault", "whole again", "dead"]) expect(svg).toContain(text);
  expect(svg.match(/<path class="ok bar"/g)).toHaveLength(4);
  // In the legend, and in cluster a of each panel.
  expect(svg.match(/<path class="bad"/g)).toHaveLength(3);
  expect(svg.match(/<path class="limit"/g)).toHaveLength(3);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

test("stacks stand beside one another on one axis; a fault that one does not have leaves a hole", () => {
  const [active, passive] = [activeReport().faults[0], passiveReport().faults[0]];
  const svg = blastPicture("both", [{ heading: "active-active", faults: [active, active] }, { heading: "active-passive", faults: [undefined, passive] }]);
  elements(svg);
  expect(svg).toContain(">active-active<");
  expect(svg).toContain(">active-passive<");
  expect(svg.match(/cluster:a killed/g)).toHaveLength(2);
  expect(svg.match(/>cluster killed/g)).toHaveLength(1);
});

test("of nothing is a picture, too", () => {
  const svg = blastPicture("nothing", []);
  expect(elements(svg)[0]).toBe("svg");
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

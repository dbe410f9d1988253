import type { PatroniSpec } from "../topology/plan";
import type { Deadline } from "./deadline";
import type { Report } from "./report";
export async function reconcilePatroni(_spec: PatroniSpec, _deadline: Deadline, _report: Report): Promise<void> {}

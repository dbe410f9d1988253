import { cutOffMembers, type Housed } from "../../topology/cutOff";

/** A container of the stack as Docker has it. */
export interface Ward extends Housed {
  /** Its exit code, where it has ended. */
  readonly exitCode: number;
  /** Why Docker could not start it when it last tried; empty if it could. Docker takes it away when the container runs. */
  readonly error: string;
  /** How long a graceful stop of it may take, in seconds. */
  readonly stopGraceSeconds: number;
}

/** What there is to do now. What lives in a container that is only being started is not in it: that comes with the next look. */
export interface Judgement {
  readonly start: readonly Ward[];
  readonly restart: readonly Ward[];
}

/** What Docker gives a container that its engine finds ended after a power cut. */
const LOST = 255;
/** A guard leaves a namespace that leads nowhere by itself, and `npm run up` restarts what is cut off: both come first. In milliseconds. */
const CUT_OFF_MS = 10_000;

/**
 * What the engine left down or cut off, and can be brought back now.
 *
 * A container that a person stopped is never among it, and nothing has to be remembered for that. Docker starts again by itself whatever
 * ended otherwise, at its boot and after a crash, and leaves the error where it cannot: so a container is down against its will only where
 * there is such an error, or where it ended with the engine and was not tried. One that was stopped or killed by command has neither: its
 * exit code is its own, and Docker does not try to start it, at no later boot either.
 */
export function judge(wards: readonly Ward[], now: Date): Judgement {
  const byId = new Map(wards.map((ward) => [ward.id, ward]));
  const down = wards.filter(({ status, error, exitCode }) => status === "exited" && (error !== "" || exitCode === LOST));
  const startedAt = ({ host = "" }: Ward): number => byId.get(host)?.startedAt.getTime() ?? now.getTime();
  return {
    start: down.filter(({ host }) => host === undefined || byId.get(host)?.status === "running"),
    restart: cutOffMembers(wards).filter((ward) => now.getTime() - startedAt(ward) > CUT_OFF_MS),
  };
}

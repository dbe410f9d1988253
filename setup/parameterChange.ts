import { alterSystem, type Parameters } from "../topology/parameters";

/** A parameter that has to change; a value that is undefined is the one without ALTER SYSTEM. */
export interface ParameterChange {
  readonly name: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** Set by CREATE EXTENSION citus, with ALTER SYSTEM, for the node's own certificate. */
const OWN_TO_CITUS = /^ssl(_|$)/;

/** What has to change for a node's parameters to be the desired ones. Values are compared as the texts that were written. */
export function parameterChanges(current: Parameters, desired: Parameters): ParameterChange[] {
  const set = Object.entries(desired)
    .filter(([name, value]) => current[name] === undefined || alterSystem(name, current[name]) !== alterSystem(name, value))
    .map(([name, to]) => ({ name, from: current[name], to }));
  const reset = Object.entries(current)
    .filter(([name]) => desired[name] === undefined && !OWN_TO_CITUS.test(name))
    .map(([name, from]) => ({ name, from, to: undefined }));
  return [...set, ...reset];
}

/** The change that undoes a change. */
export function inverse({ name, from, to }: ParameterChange): ParameterChange {
  return { name, from: to, to: from };
}

/** The statement that makes a change. */
export function statementOf({ name, to }: ParameterChange): string {
  return to === undefined ? `ALTER SYSTEM RESET ${name.split(".").map((part) => `"${part}"`).join(".")}` : alterSystem(name, to);
}

/** A change in a line of output. */
export function describeChange({ name, to }: ParameterChange): string {
  return to === undefined ? `${name} reset to its default` : `${name} = ${to}`;
}

/** Parameters as postgresql.auto.conf holds them. */
export function configurationFile(parameters: Parameters): string {
  return Object.entries(parameters).map(([name, value]) => `${name} = '${value.replaceAll("\\", "\\\\").replaceAll("'", "''")}'\n`).join("");
}

/**
 * What routers tell on their channels as OpenTelemetry's instruments and spans. An entry of its own, so that `@opentelemetry/api` is needed by those only who have it.
 */
import { subscribe, tracingChannel, unsubscribe, type ChannelListener } from "node:diagnostics_channel";
import { context, metrics, SpanKind, SpanStatusCode, trace, type Attributes, type MeterProvider, type Span, type TracerProvider } from "@opentelemetry/api";
import type { DiagnosticMessages, Operation } from "./diagnostics";

const SCOPE = "@citus-sharding/tenant-router";

export interface InstrumentOptions {
  /** @default the global one when it is called */
  readonly meterProvider?: MeterProvider;
  /** @default the global one when it is called */
  readonly tracerProvider?: TracerProvider;
}

/** What of an operation is kept until it ends. */
interface Begun {
  readonly atMs: number;
  readonly span: Span;
}

/**
 * Turns what every router of this process tells into metrics and spans, until the function that it returns is called. Call it once the application has its providers, and before it makes a router: a router's first
 * comparisons are told when it is made.
 *
 * Spans name the tenant; metrics do not, since there may be a million. Neither has the text of a statement.
 */
export function instrument({ meterProvider = metrics.getMeterProvider(), tracerProvider = trace.getTracerProvider() }: InstrumentOptions = {}): () => void {
  const meter = meterProvider.getMeter(SCOPE);
  const tracer = tracerProvider.getTracer(SCOPE);
  const seconds = { unit: "s", advice: { explicitBucketBoundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] } };
  const durations = meter.createHistogram("tenant_router.operation.duration", { ...seconds, description: "From the call of a tenant's statement or transaction to its answer, with waits and repeats" });
  const refusals = meter.createCounter("tenant_router.refusals", { unit: "{refusal}", description: "Writes that the fence refused" });
  const repeats = meter.createCounter("tenant_router.repeats", { unit: "{repeat}", description: "Statements and transactions that were run again" });
  const poolWaits = meter.createHistogram("tenant_router.pool.wait.duration", { ...seconds, description: "Waits for a connection where none was free" });
  const tenantWaits = meter.createCounter("tenant_router.tenant.wait.time", { unit: "s", description: "Time that statements waited for tenants that move" });
  const age = meter.createObservableGauge("tenant_router.directory.age", { unit: "s", description: "Since the directory was last compared with the cluster's" });
  const up = meter.createObservableGauge("tenant_router.cluster.up", { description: "1: the cluster answers; 0: it does not" });

  const comparedAt = new Map<string, number>();
  const states = new Map<string, boolean>();
  age.addCallback((result) => {
    for (const [cluster, atMs] of comparedAt) result.observe((performance.now() - atMs) / 1000, { cluster });
  });
  up.addCallback((result) => {
    for (const [cluster, answers] of states) result.observe(answers ? 1 : 0, { cluster });
  });

  const stops = [
    listen("tenant-router:refusal", ({ cluster, refusal }) => refusals.add(1, { cluster, kind: refusal.kind })),
    listen("tenant-router:repeat", ({ cluster, reason }) => repeats.add(1, { cluster, reason })),
    listen("tenant-router:pool-wait", ({ cluster, waitMs, opening }) => poolWaits.record(waitMs / 1000, { cluster, opening })),
    listen("tenant-router:tenant-wait", ({ cluster, waitMs }) => tenantWaits.add(waitMs / 1000, { cluster })),
    listen("tenant-router:comparison", ({ cluster }) => void comparedAt.set(cluster, performance.now())),
    listen("tenant-router:cluster", ({ cluster, up: answers, removed }) => {
      if (removed === undefined) states.set(cluster, answers);
      else for (const known of [states, comparedAt]) known.delete(cluster);
    }),
    ...(["statement", "transaction"] as const).map((operation) => {
      const begun = new WeakMap<Operation, Begun>();
      const start = (message: Operation): void => {
        const span = tracer.startSpan(`tenant ${operation}`, { kind: SpanKind.CLIENT, attributes: { "db.system.name": "postgresql", "tenant_router.tenant": message.tenant } }, context.active());
        begun.set(message, { atMs: performance.now(), span });
      };
      const asyncEnd = (message: Operation): void => {
        const { cluster, error } = message;
        const known = begun.get(message);
        if (known === undefined) return;
        const failed: Attributes = error === undefined ? {} : { "error.type": typeOf(error) };
        durations.record((performance.now() - known.atMs) / 1000, { cluster, operation, ...failed });
        known.span.setAttributes({ "tenant_router.cluster": cluster, ...failed });
        if (error !== undefined) known.span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
        known.span.end();
      };
      const channel = tracingChannel<unknown, Operation>(`tenant-router:${operation}`);
      const none = (): undefined => undefined;
      const subscribers = { start, end: none, asyncStart: none, asyncEnd, error: none };
      channel.subscribe(subscribers);
      return () => void channel.unsubscribe(subscribers);
    }),
  ];
  return () => {
    for (const stop of stops) stop();
    comparedAt.clear();
    states.clear();
  };
}

/** @returns what ends it. */
function listen<Name extends keyof DiagnosticMessages>(name: Name, hear: (message: DiagnosticMessages[Name]) => void): () => void {
  const listener: ChannelListener = (message) => hear(message as DiagnosticMessages[Name]);
  subscribe(name, listener);
  return () => void unsubscribe(name, listener);
}

/** The router's code or the SQLSTATE, and otherwise the class, such as that of a signal's reason. */
function typeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : typeof name === "string" ? name : "_OTHER";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

import { describe, expect, test } from "vitest";
import { Directory, type Claim } from "../../../router/directory";
import { ClusterDownError } from "../../../router/errors";
import { Lookup } from "../../../router/lookup";

/** What a cluster answers; undefined: it has no record; "away": it does not answer. */
type Says = Claim | undefined | "away";

/** By the ring of a and b, 42 lives in b; c is a cluster more. */
function lookup(says: Readonly<Record<string, Says>>): { readonly lookup: Lookup; readonly asked: string[]; readonly directory: Directory } {
  const directory = new Directory(1000);
  directory.spread("a", { version: 1, tickets: ["a", "b"] });
  const asked: string[] = [];
  const claimOf = (name: string) => (): Promise<Claim | undefined> => {
    asked.push(name);
    const answer = says[name];
    return answer === "away" ? Promise.reject(new ClusterDownError(name, "no")) : Promise.resolve(answer);
  };
  return { lookup: new Lookup(directory, new Map(Object.keys(says).map((name) => [name, { link: { claimOf: claimOf(name) } }]))), asked, directory };
}

const claim = (home: string, epoch: number, target: string | null = null): Claim => ({ home, epoch, state: target === null ? "settled" : "closed", target, over: target === null });

describe("a tenant that nothing is known of", () => {
  test.each<[string, Readonly<Record<string, Says>>, { home: string; epoch: number }, string[]]>([
    ["lives where the ring puts it, if that cluster knows nothing else", { a: undefined, b: undefined, c: undefined }, { home: "b", epoch: 0 }, ["b"]],
    ["lives where that cluster says, if it says so itself", { a: claim("a", 3), b: claim("a", 3), c: undefined }, { home: "a", epoch: 3 }, ["b", "a"]],
    ["is followed to where it has gone since", { a: claim("c", 4), b: claim("a", 3), c: claim("c", 4) }, { home: "c", epoch: 4 }, ["b", "a", "c"]],
    ["is looked for where it is moving to", { a: claim("a", 4), b: claim("b", 3, "a"), c: undefined }, { home: "a", epoch: 4 }, ["b", "a"]],
    ["is looked for everywhere if the ring's cluster is away", { a: claim("c", 4), b: "away", c: claim("c", 4) }, { home: "c", epoch: 4 }, ["b", "a", "c"]],
    ["lives in a cluster that the router does not have, if all say so", { a: claim("d", 4), b: claim("d", 4), c: claim("d", 4) }, { home: "d", epoch: 4 }, ["b", "a", "c"]],
  ])("%s", async (_, says, expected, order) => {
    const { lookup: made, asked } = lookup(says);
    expect(await made.find("42")).toMatchObject(expected);
    expect(asked).toEqual(order);
  });

  test.each<[string, Readonly<Record<string, Says>>, string, { home: string; epoch: number }]>([
    ["the cluster that the ring puts it in does not answer, and no other knows of it", { a: undefined, b: "away", c: undefined }, "b", { home: "b", epoch: 0 }],
    ["its home does not answer, though others know it", { a: "away", b: claim("a", 3), c: claim("a", 3) }, "a", { home: "a", epoch: 3 }],
    ["nobody answers", { a: "away", b: "away", c: "away" }, "b", { home: "b", epoch: 0 }],
  ])("is sent nowhere where %s", async (_, says, cluster, heard) => {
    const { lookup: made, directory } = lookup(says);
    await expect(Promise.resolve(made.find("42"))).rejects.toMatchObject({ code: "CLUSTER_DOWN", cluster, applied: "no" });
    expect(await made.hear("42")).toMatchObject(heard);
    expect(directory.recordOf("42")).toBeUndefined();
  });

  test("is asked for once, by whoever waits for it at the same time", async () => {
    const { lookup: made, asked } = lookup({ a: undefined, b: undefined, c: undefined });
    await Promise.all([made.find("42"), made.find("42"), made.hear("42")]);
    await made.find("42");
    expect(asked).toEqual(["b"]);
  });
});

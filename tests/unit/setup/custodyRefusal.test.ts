import { describe, expect, test } from "vitest";
import { volumesInQuestion } from "../../../setup/custody";
import { custodyRefusal, type Custody } from "../../../setup/custodyRefusal";
import type { StackIdentity } from "../../../topology/identity";

const active: StackIdentity = {
  topology: "active-active",
  prefix: "p1-",
  clusters: ["a", "b"],
  postgresMajor: 17,
  passwords: [],
  volumes: [
    { name: "p1-coord_a-data", container: "p1-coord_a", role: "coordinator", cluster: "a" },
    { name: "p1-worker_a1-data", container: "p1-worker_a1", role: "worker", cluster: "a" },
    { name: "p1-coord_b-data", container: "p1-coord_b", role: "coordinator", cluster: "b" },
  ],
};
const passive: StackIdentity = {
  topology: "active-passive",
  prefix: "",
  scope: "citusap",
  clusters: [],
  postgresMajor: 17,
  passwords: ["superuserPassword"],
  volumes: [
    { name: "coord-1-data", container: "coord-1", role: "coordinator" },
    { name: "etcd-1-data", container: "etcd-1", role: "etcd" },
  ],
};
const holding = (volume: string, postgresMajor = 17, scope?: string) => ({ volume, postgresMajor, ...(scope !== undefined && { scope }) });
const filled = [holding("p1-coord_a-data"), holding("p1-worker_a1-data"), holding("p1-coord_b-data")];
const custody = (now: StackIdentity, more: Partial<Custody>): Custody => ({ stack: "s", now, holdings: [], images: [], removed: [], changedPasswords: [], generatedPasswords: [], fence: true, acceptLoss: new Set(), ...more });

describe("settings that lead to the data that there is are taken", () => {
  test.each<[string, Custody]>([
    ["a new stack", custody(active, {})],
    ["data that was kept", custody(passive, { holdings: [holding("coord-1-data", 17, "citusap")] })],
    ["a worker more", custody({ ...active, volumes: [...active.volumes, { name: "p1-worker_a2-data", container: "p1-worker_a2", role: "worker", cluster: "a" }] }, { before: active })],
    ["another prefix where there is no data", custody({ ...active, prefix: "p2-" }, { before: active })],
    ["another topology where there is no data", custody(passive, { before: active })],
    ["another password where there is no data", custody(passive, { before: passive, changedPasswords: ["superuserPassword"] })],
    ["generated passwords where there is no data", custody(passive, { generatedPasswords: ["superuserPassword"] })],
    ["a stack that an older version made, whose major nobody wrote down", custody(active, { before: { ...active, postgresMajor: 0 }, holdings: filled })],
    ["an older major beside the present one", custody(active, { before: active, holdings: [holding("p1-coord_a-data", 16), ...filled] })],
    ["a cluster that is empty and in no ring", custody({ ...active, clusters: ["a"] }, { before: active, removed: [{ name: "b", filled: [], ownsTenants: false }] })],
    ["a cluster that never came to be", custody({ ...active, clusters: ["a"] }, { before: active, holdings: [holding("p1-coord_a-data")], removed: [{ name: "b", filled: undefined, ownsTenants: false }] })],
    ["a cluster whose loss is accepted", custody({ ...active, clusters: ["a"] }, { before: active, holdings: filled, removed: [{ name: "b", filled: undefined, ownsTenants: true }], acceptLoss: new Set(["b"]) })],
    ["an image of the same major", custody(active, { images: [{ key: "images.citus", postgresMajor: 17 }] })],
  ])("%s", (_, given) => {
    expect(custodyRefusal(given)).toBeUndefined();
  });
});

describe("what would lose sight of data is refused, with the way that keeps it", () => {
  test.each<[string, Custody, RegExp]>([
    [
      "another prefix",
      custody({ ...active, prefix: "p2-" }, { before: active, holdings: filled }),
      /^prefix is "p2-", and the data of s is under "p1-": the data in p1-coord_a-data and 2 other volumes would be left behind.*Put it back \(npm run pulumi -- config set prefix p1- --stack s\).*Nothing was touched\.$/,
    ],
    ["a prefix where there was none", custody({ ...passive, prefix: "x-" }, { before: passive, holdings: [holding("coord-1-data")] }), /Put it back \(npm run pulumi -- config rm prefix --stack s\)/],
    ["another topology", custody(passive, { before: active, holdings: filled }), /^topology is active-passive, and s has data as active-active: .*Put it back \(npm run pulumi -- config set topology active-active --stack s\)/],
    [
      "another scope",
      custody({ ...passive, scope: "other" }, { before: passive, holdings: [holding("coord-1-data")] }),
      /^scope is "other", and the data of s belongs to "citusap" in etcd: .*Put it back \(npm run pulumi -- config set scope citusap --stack s\)/,
    ],
    ["another scope over data that was kept", custody({ ...passive, scope: "other" }, { holdings: [holding("coord-1-data", 17, "citusap")] }), /^scope is "other", and coord-1-data holds data of "citusap"/],
    [
      "another major",
      custody({ ...active, postgresMajor: 18 }, { before: active, holdings: filled }),
      /^The settings of s mean PostgreSQL 18, and p1-coord_a-data and 2 other volumes hold data of PostgreSQL 17: .*Put back the image/,
    ],
    [
      "another major in some volumes, beside one that holds both",
      custody(active, { before: active, holdings: [holding("p1-coord_a-data", 16), holding("p1-coord_a-data", 17), holding("p1-worker_a1-data", 16), holding("p1-coord_b-data", 17)] }),
      /^The settings of s mean PostgreSQL 17, and p1-worker_a1-data holds data of PostgreSQL 16: /,
    ],
    ["another major over data that was kept", custody({ ...passive, postgresMajor: 16 }, { holdings: [holding("coord-1-data")] }), /mean PostgreSQL 16, and coord-1-data holds data of PostgreSQL 17/],
    ["an image of another major than the settings say", custody(active, { before: active, images: [{ key: "images.citus", postgresMajor: 18 }] }), /^images\.citus holds PostgreSQL 18, and the settings of s mean 17: .*Put back the image/],
    ["such an image on a new stack", custody(active, { images: [{ key: "images.citus", postgresMajor: 18 }] }), /Set postgresMajor to 18, or name another image\. Nothing was touched\.$/],
    [
      "another password than the given one",
      custody(passive, { before: passive, holdings: [holding("coord-1-data")], changedPasswords: ["superuserPassword"] }),
      /^superuserPassword is another one than the data of s was made with: .*Put the old one back: npm run pulumi -- config set --secret superuserPassword --stack s\./,
    ],
    [
      "a given password in place of a generated one",
      custody({ ...passive, passwords: ["rewindPassword"] }, { before: { ...passive, passwords: [] }, holdings: [holding("coord-1-data")], changedPasswords: ["rewindPassword"] }),
      /It was generated, and is in the state: npm run pulumi -- config rm rewindPassword --stack s goes back to it\./,
    ],
    [
      "passwords that are generated for data that was kept",
      custody({ ...passive, passwords: ["superuserPassword"] }, { holdings: [holding("coord-1-data", 17, "citusap")], generatedPasswords: ["replicationPassword", "rewindPassword"] }),
      /^There are volumes of an earlier s \(coord-1-data, etcd-1-data\), and replicationPassword and rewindPassword are not set: .*npm run pulumi -- config set --secret replicationPassword --stack s, npm run pulumi -- config set --secret rewindPassword --stack s.*\(docker volume rm coord-1-data etcd-1-data\)\. Nothing was touched\.$/,
    ],
    [
      "default clusters that a key takes the place of",
      custody({ ...active, clusters: ["c"] }, { before: active, removed: [{ name: "a", filled: ["public.rooms"], ownsTenants: true }, { name: "b", filled: [], ownsTenants: true }] }),
      /^a and b are no longer among the clusters of s \(now c\), and cluster a has data in public\.rooms\. .*list all of them: npm run pulumi -- config set --path clusters\.a\.workers <count> --stack s, .*npm run tenant -- drain a, .*--accept-loss a,b; with plain Pulumi: CITUS_ACCEPT_LOSS=a,b pulumi up\. Nothing was touched\.$/,
    ],
    ["an empty cluster that tenants are born in", custody({ ...active, clusters: ["a"] }, { before: active, removed: [{ name: "b", filled: [], ownsTenants: true }] }), /tenants are born in cluster b\./],
    ["a cluster whose volumes are gone, and that tenants are born in", custody({ ...active, clusters: ["a"] }, { before: active, removed: [{ name: "b", filled: undefined, ownsTenants: true }] }), /tenants are born in cluster b\./],
    ["a cluster that does not answer", custody({ ...active, clusters: ["a"] }, { before: active, holdings: filled, removed: [{ name: "b", filled: undefined, ownsTenants: false }] }), /cluster b does not answer, so that nobody knows/],
  ])("%s", (_, given, sentence) => {
    expect(custodyRefusal(given)).toMatch(sentence);
  });

  test("without a fence nobody is told to drain", () => {
    const given = custody({ ...active, clusters: ["a"] }, { before: active, fence: false, removed: [{ name: "b", filled: ["public.rooms"], ownsTenants: false }] });
    expect(custodyRefusal(given)).toMatch(/cluster b has data in public\.rooms/);
    expect(custodyRefusal(given)).not.toContain("drain");
  });
});

test.each<[string, StackIdentity | undefined, StackIdentity, boolean, string[]]>([
  ["all that are planned, of a stack that no update knows", undefined, passive, false, ["coord-1-data"]],
  ["none where nothing has changed", active, active, false, []],
  ["new ones, and those of a cluster that is taken out", active, { ...active, clusters: ["a", "c"], volumes: [...active.volumes.slice(0, 2), { name: "p1-coord_c-data", container: "p1-coord_c", role: "coordinator", cluster: "c" }] }, false, ["p1-coord_b-data", "p1-coord_c-data"]],
  ["all where a password has changed", active, active, true, ["p1-coord_a-data", "p1-worker_a1-data", "p1-coord_b-data"]],
])("volumes are looked into: %s", (_, before, now, passwordChanged, volumes) => {
  expect(volumesInQuestion(before, now, passwordChanged)).toEqual(volumes);
});

import { expect, test } from "vitest";
import { leftSentence } from "../../../cli/down";

test.each<[string, string[], string[], boolean, string]>([
  ["nothing", [], [], false, "No container, network or volume of it is left."],
  ["data that is kept", ["a-data", "b-data"], [], true, "2 volumes are left, with the data that is kept: a-data and b-data. To drop them: docker volume rm a-data b-data."],
  ["data that no state knows", ["a-data"], [], false, "1 volume is left, with data that no state knows: a-data. To drop it: docker volume rm a-data."],
  [
    "a volume of a cluster that was taken out earlier",
    [],
    ["coord_b-data"],
    false,
    "No container or network of it is left. Left alone, with its label and named by neither its state nor its configuration: coord_b-data. To drop it, unless another copy of the project has it: docker volume rm coord_b-data.",
  ],
  [
    "such volumes beside data that is kept",
    ["a-data"],
    ["coord_b-data", "worker_b1-data"],
    true,
    "1 volume is left, with the data that is kept: a-data. To drop it: docker volume rm a-data. Left alone, with its label and named by neither its state nor its configuration: coord_b-data and worker_b1-data. " +
      "To drop them, unless another copy of the project has them: docker volume rm coord_b-data worker_b1-data.",
  ],
])("what is left is told: %s", (_, volumes, others, keep, sentence) => {
  expect(leftSentence({ volumes, others }, keep)).toBe(sentence);
});

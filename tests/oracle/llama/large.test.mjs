// The real shapes of small models: gigabytes, and minutes for each.
import {test} from "node:test";
import {someTokens} from "./files.mjs";
import {compareWithLlama} from "./teacher.mjs";

for (const preset of ["qwen2.5-0.5b", "qwen3-0.6b"]) {
    for (const type of ["Q8_0", "Q4_K_M"]) {
        test(`${preset} ${type}: logits are llama.cpp's`, (t) =>
            compareWithLlama(t, {preset}, [1], type, someTokens(208, 150000)));
    }
}

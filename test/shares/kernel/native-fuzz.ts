import { loadNativeHasher } from '../../../src/shares/kernel/native-hasher.ts';
import { createNativeKernel } from '../../../src/shares/kernel/simd-kernel.ts';
import { assertRandomAgreement } from '../../bench/kernel-bench.ts';
import { SeededRandom } from '../../sim/random.ts';

/**
 * The program of `native-kernel.test.ts` that runs under a sanitizer: honest batches, then memory that nobody
 * would write, at addresses that do not fit it.
 */
const [file, seed] = process.argv.slice(2);
const hasher = loadNativeHasher(file);
if (hasher === undefined) throw new Error('the native kernel does not load');
assertRandomAgreement([createNativeKernel(1024, hasher)], 2_000, Number(seed));

const random = new SeededRandom(Number(seed));
const below = (most: number): number => random.below(most);
let ran = 0;
for (let round = 0; round < 20_000; round += 1) {
  // Of memory that ends anywhere, also within a job's record.
  const memory = new Uint8Array(1024 + below(4096));
  const words = new Uint32Array(memory.buffer, 0, memory.length >> 2);
  const slots = 1 + below(4);
  const job = 16 * (16 + below(memory.length / 16));
  const fields = [1 + below(9), 1 + below(3), below(20), below(70), below(36), below(2 ** 32), 0x6a6f6221];
  for (const [at, field] of fields.entries()) words[(job >> 2) + at] = field;
  for (let slot = 0; slot < slots; slot += 1) words[slot * 16] = below(8) === 0 ? below(2 ** 32) : job;
  for (let wild = below(3); wild > 0; wild -= 1) words[below(words.length)] = below(2 ** 32);
  const at = below(8) === 0 ? below(2 ** 32) : 0;
  if (hasher.run(memory, at, below(memory.length), slots)) ran += 1;
  hasher.hashTree(memory, below(memory.length + 64), below(200), below(3) * 32);
}
process.stdout.write(String(ran));

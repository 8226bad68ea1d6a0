import { createKernel, KERNEL_KINDS, type KernelKind } from './create-kernel.ts';
import { hashesRight } from './self-check.ts';
import { createSimdKernel, isSimdSupported } from './simd-kernel.ts';

/**
 * The program of a trial (`choose-kernel.ts`): compiles and checks a kernel as a daemon does, then makes V8
 * compile another module in its usual ways behind it, as other libraries of the daemon do. Prints the name
 * of the kernel that hashes right.
 */
const CAPACITY = 64;
/** Enough for V8 to take the other module for hot. */
const ROUNDS = 40;

const kind: KernelKind | undefined = KERNEL_KINDS.find((known) => known === process.argv[2]);
if (kind === undefined) throw new Error(`unknown kernel ${process.argv[2]}`);
const kernel = createKernel(CAPACITY, kind);
if (isSimdSupported()) {
  const other = createSimdKernel(CAPACITY, 'simd_plain');
  for (let round = 0; round < ROUNDS; round += 1) if (!hashesRight(other)) process.exit(1);
}
process.stdout.write(hashesRight(kernel) ? kernel.name : 'wrong');

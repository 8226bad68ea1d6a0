import fc from 'fast-check';
import { SeededRandom } from './sim/random.ts';

/**
 * The seed of one run of a suite, for all that is random in it. The end of the run prints it, and
 * `TEST_SEED=N` draws the same again.
 */
export const TEST_SEED = Number(process.env['TEST_SEED'] ?? 1);

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: TEST_SEED });

/** Numbers of this run's seed for a test that needs some beside its properties. */
export function seededRandom(): SeededRandom {
  return new SeededRandom(TEST_SEED);
}

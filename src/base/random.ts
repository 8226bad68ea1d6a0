import { randomBytes } from 'node:crypto';
import type { Random } from './clock.ts';

/** The randomness of the system: what every root hands down. */
export const systemRandom: Random = { bytes: (size) => new Uint8Array(randomBytes(size)) };

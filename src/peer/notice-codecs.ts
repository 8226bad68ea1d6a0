import { PAUSE_REASONS, type Pause } from '../contract/notices.ts';
import { type Codec, hexOf, integer, nullable, object, oneOf } from './codec.ts';

const contractId = hexOf(32);
const height = integer(0, 500_000_000);
const empty = object<Record<never, never>>({});

const pause = {
  reason: ['reason', oneOf(...PAUSE_REASONS)],
  fromHeight: ['from_height', height],
  untilHeight: ['until_height', nullable(height)],
} as const;

/** Codec of a pause on disk. */
export const pauseCodec: Codec<Pause> = object(pause);

/** The methods by which each side of a running contract gives notice (`MARKET.md`). */
export const noticeMethods = {
  /** Its sender gives or takes no work for that time; told anew on each connection. */
  'contract.pause': {
    params: object({ contractId: ['contract_id', contractId], ...pause }),
    result: empty,
  },
  'contract.resume': { params: object({ contractId: ['contract_id', contractId] }), result: empty },
  /** Work on blocks from that height on is no longer sold. */
  'contract.end': {
    params: object({
      ...{ contractId: ['contract_id', contractId], height: ['height', height] },
      signature: ['signature', hexOf(64)],
    }),
    result: empty,
  },
} as const;

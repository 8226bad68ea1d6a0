import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { SHORT_ID_SIZE } from '../bitcoin/short-id.ts';
import { type Codec, hexOf, hexUpTo, integer, listOf, object, text } from './codec.ts';
import { jobId } from './work-codecs.ts';

/** The codecs of `payout`: how the block of a sampled job is shown. */

const packedIds = text(
  Math.ceil((LIMITS.templateTransactions * SHORT_ID_SIZE) / 3) * 4 + 4,
  /^[A-Za-z0-9+/]*={0,2}$/,
);

/** Short ids, each as hex in memory; all in one base64 field on the wire. */
const shortIds: Codec<readonly string[]> = {
  parse: (value) => {
    const bytes = Buffer.from(packedIds.parse(value), 'base64');
    if (bytes.length % SHORT_ID_SIZE !== 0 || bytes.length > LIMITS.templateTransactions * SHORT_ID_SIZE)
      throw new CodedError('protocol', 'short ids have eight bytes each');
    const hex = bytes.toString('hex');
    return Array.from({ length: bytes.length / SHORT_ID_SIZE }, (_none, index) =>
      hex.slice(index * 2 * SHORT_ID_SIZE, (index + 1) * 2 * SHORT_ID_SIZE),
    );
  },
  print: (ids) => Buffer.from(ids.join(''), 'hex').toString('base64'),
};

const place = integer(0, LIMITS.templateTransactions - 1);
const job = { contractId: ['contract_id', hexOf(32)], jobId: ['job', jobId] } as const;

/** The methods by which a maker is shown the block of a job, both requests to the miner. */
export const templateMethods = {
  /** The transactions of the job after its coinbase. */
  'work.template': { params: object(job), result: object({ shortIds: ['short_ids', shortIds] }) },
  /** Some of them in full: as many from the first on as the answer has room for, one at least. */
  'work.transactions': {
    params: object({ ...job, places: ['places', listOf(place, LIMITS.templateTransactions, 1)] }),
    result: object({
      transactions: [
        'transactions',
        listOf(hexUpTo(LIMITS.peerLineBytes / 2, 10), LIMITS.templateTransactions, 1),
      ],
    }),
  },
} as const;

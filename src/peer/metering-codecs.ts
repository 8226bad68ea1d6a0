import { decimal, flag, hexOf, integer, object } from './codec.ts';
import { commitmentOfferCodec, commitmentRecordCodec } from './commitment-codecs.ts';

const contractId = hexOf(32);

/** The methods of metering without money. Its jobs and shares come as those of any contract. */
export const meteringMethods = {
  /** To the maker, once in a connection: shares follow from `next_seq` on. */
  'meter.attach': {
    params: object(
      { contractId: ['contract_id', contractId] },
      /** The newest total that both signed. */
      { total: ['total', commitmentRecordCodec] },
    ),
    result: object({
      nextSeq: ['next_seq', integer(0, 2 ** 52)],
      verifiedWork: ['verified_work', decimal],
      isEnded: ['ended', flag],
    }),
  },
  /** To the miner: a total to be signed. */
  'meter.sign': {
    params: object({
      contractId: ['contract_id', contractId],
      n: ['n', integer(1, 2 ** 31)],
      workHashes: ['work', decimal],
      commitment: ['commitment', commitmentOfferCodec],
    }),
    /** Without a signature where it builds on another total than the own newest. */
    result: object({}, { signature: ['signature', hexOf(64)] }),
  },
  /**
   * To the miner: deliver what is left, and end. To the maker: that was all; the answer comes once the rest
   * is signed, or refused.
   */
  'meter.end': { params: object({ contractId: ['contract_id', contractId] }), result: object({}) },
} as const;

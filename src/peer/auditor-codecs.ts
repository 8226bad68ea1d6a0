import { LIMITS } from '../base/limits.ts';
import { type ChannelParams, channelParamsToJson, parseChannelParams } from '../channel/params.ts';
import { type Codec, hexOf, integer, listOf, nullable, object, oneOf, text } from './codec.ts';
import { commitmentRecordCodec } from './commitment-codecs.ts';
import { termsCodec } from './market-codecs.ts';
import { minuteReportCodec } from './minute-codecs.ts';

const contractId = hexOf(32);
const signature = hexOf(64);
const side = oneOf('miner', 'maker');
const minute = integer(0, 2 ** 40);
const psbt = text(LIMITS.psbtChars, /^[A-Za-z0-9+/]+={0,2}$/);

const channelCodec: Codec<ChannelParams> = { parse: parseChannelParams, print: channelParamsToJson };

/** The methods of an auditor, which either side of a contract calls. */
export const auditorMethods = {
  /** Asks for the key that terms name, before anybody signs such terms. */
  'auditor.about': {
    params: object({}),
    /** Compressed. */
    result: object({ auditorKeyHex: ['auditor_key', hexOf(33)] }),
  },
  /** Shows a contract with its channel, and who stands behind that. */
  'auditor.contract': {
    params: object(
      {
        contractId: ['contract_id', contractId],
        terms: ['terms', termsCodec],
        minerSignature: ['miner_signature', signature],
        makerSignature: ['maker_signature', signature],
        channel: ['channel', channelCodec],
      },
      /** Of some state, signed by both. */
      { commitment: ['commitment', commitmentRecordCodec] },
    ),
    result: object({
      /** Whether both sides stand behind this channel; `differs`: the other side shows another one. */
      channel: ['channel', oneOf('shared', 'alone', 'differs')],
      /** First minutes of both logs that this side has not told yet. */
      minerNext: ['miner_next', minute],
      makerNext: ['maker_next', minute],
    }),
  },
  /** Tells more of the log of either side, the other's as it was given. */
  'auditor.minutes': {
    params: object(
      {
        contractId: ['contract_id', contractId],
        role: ['role', side],
        reports: ['reports', listOf(minuteReportCodec, LIMITS.peerMinutes, 1)],
      },
      /** Of the head behind the last report, where its side signed there. */
      { signature: ['signature', signature] },
    ),
    result: object({ next: ['next', minute] }),
  },
  'auditor.ruling': {
    params: object({ contractId: ['contract_id', contractId] }),
    result: object({
      /** Who is in default. */
      verdict: ['verdict', oneOf('miner', 'maker', 'none', 'undecided')],
      words: ['words', text(200)],
      /** The last minute that was judged. */
      to: ['to', nullable(minute)],
    }),
  },
  /** Asks for the signature of a spend of one bond to the side that asks. */
  'auditor.sign': {
    params: object({
      contractId: ['contract_id', contractId],
      /** Whose bond it is. */
      owner: ['owner', side],
      feeRateSatPerKvb: ['fee_rate_sat_per_kvb', integer(100, 10_000_000)],
      psbt: ['psbt', psbt],
    }),
    result: object({ psbt: ['psbt', psbt] }),
  },
} as const;

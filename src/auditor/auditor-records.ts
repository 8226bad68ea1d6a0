import type { ChannelRole } from '../channel/keys.ts';
import { type ChannelParams, channelParamsToJson, parseChannelParams } from '../channel/params.ts';
import type { MinuteReport, MinuteRole } from '../contract/minutes.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { type Codec, hexOf, integer, object, oneOf } from '../peer/codec.ts';
import { termsCodec } from '../peer/market-codecs.ts';
import { loadHours, minuteEntries } from '../settlement/minute-records.ts';
import { bodyOf, parseBody } from '../settlement/records.ts';
import { AuditorCase, type SignedContract } from './auditor-case.ts';

/**
 * The kinds of an auditor's ledger, beside `minutes` with ids `<contract>.<teller>:<side>:<hour>`:
 *
 * | kind | op | body |
 * |---|---|---|
 * | `audited` | insert | a contract with both signatures; id the contract's |
 * | `audited_channel` | insert | a channel; id `<contract>:<who shows it>` |
 * | `ruled` | insert | to whom the bonds of a contract go, before any signature leaves; id the contract's |
 */
const CONTRACT_KIND = 'audited';
const CHANNEL_KIND = 'audited_channel';
const RULED_KIND = 'ruled';

const contractCodec: Codec<SignedContract> = object({
  contractId: ['contract_id', hexOf(32)],
  terms: ['terms', termsCodec],
  minerSignature: ['miner_signature', hexOf(64)],
  makerSignature: ['maker_signature', hexOf(64)],
});
const channelCodec: Codec<ChannelParams> = { parse: parseChannelParams, print: channelParamsToJson };
const ruledCodec = object({
  payee: ['payee', oneOf('miner', 'maker')],
  atMs: ['at_ms', integer(0, Number.MAX_SAFE_INTEGER)],
});

export function contractEntry(contract: SignedContract): LedgerEntry {
  const body = bodyOf(contractCodec, contract);
  return { type: 'insert', kind: CONTRACT_KIND, id: contract.contractId, body };
}

export function channelEntry(as: ChannelRole | 'proven', channel: ChannelParams): LedgerEntry {
  const id = `${channel.contractId}:${as}`;
  return { type: 'insert', kind: CHANNEL_KIND, id, body: bodyOf(channelCodec, channel) };
}

/** The hours of a log with what was told now. @param newest from the first report of its hour on */
export function toldEntries(
  contractId: string,
  told: { readonly teller: MinuteRole; readonly role: MinuteRole },
  newest: readonly MinuteReport[],
  signature: string | undefined,
): LedgerEntry[] {
  return minuteEntries(`${contractId}.${told.teller}`, told.role, newest, signature);
}

export function ruledEntry(contractId: string, payee: ChannelRole, atMs: number): LedgerEntry {
  const body = bodyOf(ruledCodec, { payee, atMs: Math.floor(atMs) });
  return { type: 'insert', kind: RULED_KIND, id: contractId, body };
}

/** To whom the bonds of a contract were given. Throws `ledger_corrupt`. */
async function loadRuled(ledger: Ledger, contractId: string): Promise<ChannelRole | undefined> {
  const body = await ledger.get(RULED_KIND, contractId);
  return body === undefined ? undefined : parseBody(RULED_KIND, ruledCodec, body).payee;
}

/** All contracts of the ledger, with their logs as each side told them. Throws `ledger_corrupt`. */
export async function loadCases(ledger: Ledger): Promise<readonly AuditorCase[]> {
  const cases: AuditorCase[] = [];
  for (const { body } of await ledger.list(CONTRACT_KIND)) {
    const contract = parseBody(CONTRACT_KIND, contractCodec, body);
    const { contractId } = contract;
    const loaded = new AuditorCase(contract);
    for (const as of ['miner', 'maker', 'proven'] as const) {
      const channel = await ledger.get(CHANNEL_KIND, `${contractId}:${as}`);
      if (channel !== undefined) loaded.setChannel(as, parseBody(CHANNEL_KIND, channelCodec, channel));
    }
    for (const teller of ['miner', 'maker'] as const)
      for (const role of ['miner', 'maker'] as const)
        for (const hour of await loadHours(ledger, `${contractId}.${teller}`, role))
          loaded.take(teller, role, hour);
    loaded.givenTo = await loadRuled(ledger, contractId);
    cases.push(loaded);
  }
  return cases;
}

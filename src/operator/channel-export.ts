import { toHex } from '../base/bytes.ts';
import { codeOf } from '../base/errors.ts';
import { bondCoins } from '../channel/bonds.ts';
import { type ChannelParams, channelFacts, channelParamsToJson } from '../channel/params.ts';
import { parseSignedSealClaim } from '../channel/seal.ts';
import type { Signer } from '../channel/signer.ts';
import { type SignedState, signedStateToJson } from '../channel/states.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import {
  ACK_KIND,
  CHANNEL_KIND,
  CONTRACT_KIND,
  channelEntry,
  DELIVERY_KIND,
  DISPUTED_KIND,
  FUNDING_KIND,
  OPENING_KIND,
  SEAL_KIND,
  STATE_KIND,
  stateDocumentId,
} from '../settlement/records.ts';
import type { FundedChannel } from './channel-report.ts';
import {
  deadlinesOf,
  type Party,
  type TransactionView,
  viewBondReturn,
  viewRefund,
  viewSealClaim,
  viewSealRefund,
  viewState,
} from './transaction-view.ts';

export const EXPORT_FORMAT = 'sharestream-channel-export';
export const EXPORT_VERSION = 1;

/** A signed transaction of an export, with the fee rate it was made for. */
export type ExportedTransaction = TransactionView & { readonly target_sat_per_kvb: number };

/** A document of the ledger, so that another one can take the channel over. */
export type ExportedRecord = { readonly kind: string; readonly id: string; readonly body: string };

/** Kinds of the documents that make a channel, in the order in which a new ledger gets them. */
export const EXPORTED_KINDS = [
  CONTRACT_KIND,
  OPENING_KIND,
  FUNDING_KIND,
  STATE_KIND,
  CHANNEL_KIND,
  DELIVERY_KIND,
  ACK_KIND,
  SEAL_KIND,
  DISPUTED_KIND,
] as const;

export type ExportInput = {
  readonly channel: FundedChannel;
  readonly records: readonly ExportedRecord[];
  /** Of the channel's index. */
  readonly signer: Signer;
  readonly nowMs: number;
  /** The content of the key file, where the file shall hold it. */
  readonly keyText: string | undefined;
};

/** The documents of a channel, of its states the newest only. */
export async function recordsOf(ledger: Ledger, channel: FundedChannel): Promise<ExportedRecord[]> {
  const { contractId } = channel.stored;
  const records: ExportedRecord[] = [];
  for (const kind of EXPORTED_KINDS) {
    const id = kind === STATE_KIND ? stateDocumentId(contractId, channel.last.n) : contractId;
    // The ledger may have gone on meanwhile: its record must name the state that goes with it.
    const body = kind === CHANNEL_KIND ? channelBody(channel) : await ledger.get(kind, id);
    if (body !== undefined) records.push({ kind, id, body });
  }
  return records;
}

function channelBody({ stored }: FundedChannel): string | undefined {
  const { channel, contractId } = stored;
  const entry = channel === undefined ? undefined : channelEntry(contractId, channel);
  return entry?.type === 'put' ? entry.body : undefined;
}

/**
 * Everything that closing a channel takes, signed: with it anyone can close, and no one can send the money
 * elsewhere. Throws `bad_key_file` where the keys are not those of the channel.
 */
export function buildExport(input: ExportInput): { readonly [key: string]: unknown } {
  const { channel, signer } = input;
  const { params, last, role, stored } = channel;
  const { capacitySat, outputScript } = channelFacts(params);
  return {
    format: EXPORT_FORMAT,
    version: EXPORT_VERSION,
    what_this_is: whatThisIs(role, input.keyText !== undefined),
    what_to_do: whatToDo(role, params),
    made_at: new Date(input.nowMs).toISOString(),
    role,
    network: params.terms.network,
    contract_id: stored.contractId,
    deadlines: deadlinesOf(params),
    funding: {
      ...params.funding,
      value_sat: capacitySat,
      script: toHex(outputScript),
      transaction_hex: stored.fundingTx ?? null,
    },
    channel: channelParamsToJson(params),
    state: signedStateToJson(last),
    transactions: [...transactionsOf(role, params, last, signer), ...claimsOf(input)],
    records: input.records,
    secrets: input.keyText === undefined ? null : { key_file: input.keyText },
  };
}

/**
 * What this side may broadcast now or later, signed: the ladder of its way out, and what comes back later.
 */
export function transactionsOf(
  role: Party,
  params: ChannelParams,
  last: SignedState,
  signer: Signer,
): readonly ExportedTransaction[] {
  const ladder = params.terms.feeLadderSatPerKvb;
  const states =
    role === 'maker'
      ? ladder.flatMap((rate) => affordable(rate, () => viewRefund(params, rate, signer)))
      : last.signatures.map((_signature, rung) => ({
          ...viewState(params, last, rung, signer),
          target_sat_per_kvb: ladder[rung]!,
        }));
  const seal =
    role === 'maker' || params.seal === undefined
      ? []
      : ladder.flatMap((rate) => affordable(rate, () => viewSealRefund(params, rate, signer)));
  return [...states, ...bondReturnsOf(role, params, last, signer), ...seal];
}

/** The maker's newest claim of the seal, as its record has it. */
function claimsOf({ channel, records, signer }: ExportInput): readonly ExportedTransaction[] {
  const { params, role } = channel;
  const record = records.find(({ kind }) => kind === SEAL_KIND);
  if (role !== 'maker' || params.terms.seal === undefined || record === undefined) return [];
  const { claim } = JSON.parse(record.body) as { readonly claim?: unknown };
  const view = viewSealClaim(params, parseSignedSealClaim(claim), signer);
  return [{ ...view, target_sat_per_kvb: params.terms.seal.claimFeeRateSatPerKvb }];
}

/** The own bond, back from whichever rung of the newest state confirms. */
function bondReturnsOf(
  role: Party,
  params: ChannelParams,
  last: SignedState,
  signer: Signer,
): readonly ExportedTransaction[] {
  if (bondsOf(params.terms).bondMode !== 'auditor') return [];
  return last.signatures.flatMap((_signature, rung) =>
    bondCoins(params, last.workHashes, rung)
      .filter((coin) => coin.owner === role)
      .flatMap((coin) =>
        params.terms.feeLadderSatPerKvb.flatMap((rate) =>
          affordable(rate, () => ({ ...viewBondReturn(params, coin, rate, signer), rung })),
        ),
      ),
  );
}

/** Nothing for a fee rate that the money does not pay for. */
function affordable(rate: number, make: () => TransactionView): readonly ExportedTransaction[] {
  try {
    return [{ ...make(), target_sat_per_kvb: rate }];
  } catch (error) {
    if (codeOf(error) === 'bad_amount') return [];
    throw error;
  }
}

function whatThisIs(role: Party, hasKeys: boolean): readonly string[] {
  if (hasKeys) {
    return ['A payment channel WITH ITS SECRET KEYS (secrets.key_file): who has this file has the money.'];
  }
  const power =
    role === 'miner'
      ? 'can close the channel at any time, at the newest state known here'
      : 'can take the channel back for the market maker once it has expired';
  return [
    `A payment channel, without secret keys. Who has this file ${power}, and can do nothing else:`,
    'every transaction in it pays the two parties only.',
  ];
}

const COMMAND = 'sharestream channel recover --from THIS_FILE --rpc-url URL --yes';

const LADDER = [
  'Of several that spend the same output take the one whose fee_rate_sat_per_kvb is that of today;',
  'if it does not confirm, broadcast a higher one: it replaces the lower.',
  `\`${COMMAND}\` does this with any bitcoin node.`,
  'Or give the hex to a node yourself: `bitcoin-cli sendrawtransaction HEX`.',
].join(' ');

function whatToDo(role: Party, params: ChannelParams): readonly string[] {
  const at = deadlinesOf(params);
  const expiry = at['maker_refund_from_height'];
  if (role === 'maker') {
    return [
      `From height ${expiry} on broadcast a \`refund\` of transactions, unless the output of funding is spent.`,
      LADDER,
      'A `bond_return` is for when the miner closed at this state: that of the rung which confirmed,',
      'valid_after_blocks blocks later. A `seal_claim` is for as soon as the channel is spent.',
      'Before that height only both parties together can close: start the market maker with its ledger.',
    ];
  }
  return [
    `Broadcast a \`state\` of transactions before height ${at['broadcast_state_from_height']}, at the latest`,
    `before ${expiry}: from then on the market maker may take everything.`,
    LADDER,
    'Then broadcast the `bond_return` of the same rung, valid_after_blocks blocks after the state confirmed,',
    'and a `seal_refund` from its valid_from_height on, where there are any.',
    'A newer state than this may exist, in the ledger or at the market maker: it pays the miner more.',
    'The proxy asks for it by itself when it is started with this channel.',
  ];
}

/** JSON of an export, bigints as decimal strings. */
export function exportText(value: object): string {
  const text = JSON.stringify(
    value,
    (_key, item: unknown) => (typeof item === 'bigint' ? item.toString() : item),
    2,
  );
  return `${text}\n`;
}

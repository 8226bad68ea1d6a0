import { CodedError, type ErrorCode } from '../../src/base/errors.ts';
import { type BondCoin, bondCoins } from '../../src/channel/bonds.ts';
import type { ChannelParams } from '../../src/channel/params.ts';
import { signState } from '../../src/channel/states.ts';
import type { BondMode } from '../../src/contract/bond-terms.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import { REMAINS_KIND } from '../../src/settlement/records.ts';
import { StakeSettlement } from '../../src/settlement/stake-settlement.ts';
import { recorder } from '../chain/log-recorder.ts';
import {
  EH,
  makeBonds,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  SEAL,
} from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

export type Role = 'miner' | 'maker';
/** Where an output is: nowhere, in the mempool alone, in a block, or there but spent by what waits. */
export type Where = 'unspent' | 'spending' | undefined;

export const WORK = 400n * EH;
export const CSV = 2016;
export const SIGNERS = { miner: minerSigner, maker: makerSigner };
export const at = (height: number) => ({ height, hash: '', timeSeconds: 0 });
export const bondedTerms = (mode: Exclude<BondMode, 'none'>, hasSeal = false): ContractTerms =>
  makeTerms({ bonds: makeBonds(mode), ...(hasSeal ? { seal: SEAL } : {}) });

/** The settlement of a side's stakes over a chain in the hands of a test. */
export function setUp(
  role: Role,
  terms: ContractTerms,
  of: { status?: string; workHashes?: bigint; n?: number } = {},
) {
  const params: ChannelParams = makeParams({}, terms);
  const { status = 'closing', workHashes = WORK, n = 3 } = of;
  const last = signState(params, n, workHashes, makerSigner);
  const { lines, log } = recorder();
  const ledger = new MemoryLedger();
  const asked: string[] = [];
  const sent: string[] = [];
  const node = {
    coins: new Map<string, { where: Where; confirmations: number }>(),
    spender: undefined as { hex: string; confirmations: number; txid?: string } | undefined,
    /** Of the close. */
    confirmations: 1 as number | undefined,
    rate: 2_345.5,
    height: 0,
    refusal: undefined as ErrorCode | undefined,
    fails: new Set<string>(),
  };
  const place = (txid: string, vout: number, where: Where, confirmations = 1): void =>
    void node.coins.set(`${txid}:${vout}`, { where, confirmations });
  const ask = (question: string): void => {
    asked.push(question);
    if (node.fails.has(question.split(' ')[0]!)) throw new CodedError('chain_unreachable');
  };
  const chain = {
    tip: async () => at(node.height),
    txOut: async (txid: string, vout: number, withMempool = true) => {
      ask(`txOut ${txid.slice(0, 6)}:${vout}${withMempool ? '' : ' in blocks'}`);
      const coin = node.coins.get(`${txid}:${vout}`);
      if (coin?.where === undefined || (withMempool && coin.where === 'spending')) return undefined;
      return coin;
    },
    spender: async (txid: string, vout: number, blocks: number) => {
      ask(`spender ${txid.slice(0, 6)}:${vout} ${blocks}`);
      return node.spender;
    },
    confirmations: async () => {
      ask('confirmations');
      return node.confirmations;
    },
    feeRateSatPerKvb: async (blocks: number) => {
      ask(`fee ${blocks}`);
      return node.rate;
    },
    broadcast: async (hex: string) => {
      if (node.refusal !== undefined) throw new CodedError(node.refusal, 'said the node');
      sent.push(hex);
      return 'txid';
    },
  };
  const store = {
    contractId: params.contractId,
    terms,
    contract: { channelIndex: 7 } as object | undefined,
    assembled: { params } as object | undefined,
    channel: { status, fundingTxid: params.funding.txid, fundingVout: params.funding.vout } as
      | Record<string, unknown>
      | undefined,
    last: last as typeof last | undefined,
    sealClaim: undefined as unknown,
  };
  const settlement = new StakeSettlement(role, store as never, {
    ...{ ledger, log, signer: SIGNERS[role] },
    chain: chain as never,
  });
  const look = async (height: number): Promise<readonly string[]> => {
    asked.length = 0;
    sent.length = 0;
    node.height = height;
    await settlement.onTip(at(height));
    return sent;
  };
  const remains = () => ledger.get(REMAINS_KIND, params.contractId);
  const coins = bondCoins(params, workHashes, 0);
  const coinOf = (owner: Role): BondCoin => coins.find((coin) => coin.owner === owner)!;
  /** The close of the lowest rung is in a block, so deep. */
  const close = (depth: number): void => {
    for (const { txid, vout } of coins) place(txid, vout, 'unspent', depth);
  };
  return {
    settlement,
    params,
    node,
    store,
    ledger,
    lines,
    asked,
    sent,
    look,
    remains,
    coins,
    coinOf,
    close,
    place,
  };
}

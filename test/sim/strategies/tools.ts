import { Transaction } from 'bitcoinjs-lib';
import { fromHex, toHex } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { isRecord } from '../../../src/base/json.ts';
import { signP2wpkhInput } from '../../../src/chain/wallet.ts';
import type { ChannelParams } from '../../../src/channel/params.ts';
import { signAndFinalizeRefund } from '../../../src/channel/refund.ts';
import type { SeedSigner } from '../../../src/channel/signer.ts';
import { backlogMs } from '../../../src/contract/terms-access.ts';
import { assembleChannel } from '../../../src/settlement/opening.ts';
import { loadOpening } from '../../../src/settlement/records.ts';
import type { Books, Finding } from '../audit.ts';
import type { SentLine, Side, Tap } from '../network.ts';
import { storedOf } from '../outcome.ts';
import type { Rules } from '../rules.ts';
import type { Stage } from '../stage.ts';
import { SIGNERS } from '../terms.ts';
import { type SimWorld, WALLETS } from '../world.ts';

export type Message = Record<string, unknown> & {
  readonly id?: unknown;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
};

/** A line with what it is about: its own method, or that of the request it answers. */
export type Told = { readonly line: SentLine; readonly about: string; readonly message: Message };

/** What leaves in the place of a message: itself, others, or nothing. */
export type Alter = (told: Told) => readonly unknown[];

export const itself: Alter = ({ message }) => [message];

/** Lets a side say something else than its code does, and hear something else than it was told. */
export function alterLines(world: SimWorld, alter: Alter, hear?: Alter): void {
  const asked = new Map<string, string>();
  world.tap = speaking(asked, alter);
  const heard: Tap = (line) => {
    remember(asked, line, JSON.parse(line.text) as Message);
    return [line.text];
  };
  world.tapIn = hear === undefined ? heard : speaking(asked, hear);
}

/** Lets a side hear something else than it was told. */
export function alterHeard(world: SimWorld, alter: Alter): void {
  world.tapIn = speaking(new Map(), alter);
}

/** Leaves out every line about these. */
export function silentOn(
  stage: Stage,
  methods: readonly string[],
  isNow: () => boolean = () => true,
): void {
  alterLines(stage.world, (told) => (methods.includes(told.about) && isNow() ? [] : [told.message]));
}

function speaking(asked: Map<string, string>, alter: Alter): Tap {
  return (line) => {
    const message = JSON.parse(line.text) as Message;
    const about = remember(asked, line, message);
    return alter({ line, about, message }).map((each) => JSON.stringify(each));
  };
}

function remember(asked: Map<string, string>, { link, from }: SentLine, message: Message): string {
  if (message.method !== undefined) {
    asked.set(`${link} ${from} ${String(message.id)}`, message.method);
    return message.method;
  }
  const asker: Side = from === 'miner' ? 'maker' : 'miner';
  return asked.get(`${link} ${asker} ${String(message.id)}`) ?? '';
}

/** What a state pays, the newest acked one unless named; 0 before there is one. */
export function ackedSat({ released, ackedN }: Rules, n = ackedN): bigint {
  const text = released.get(n);
  return text === undefined ? 0n : BigInt((JSON.parse(text) as { readonly paid_sat: string }).paid_sat);
}

/** The close pays all that was ever acked, up to this state. */
export function paidInFull(
  { world }: Stage,
  { close }: Books,
  ackedN = world.rules.ackedN,
): readonly Finding[] {
  const { rules, terms } = world;
  if (ackedN < 0) return [];
  const dueSat = ackedSat(rules, ackedN) + terms.minerReserveSat;
  const gotSat = close === undefined ? 0n : close.minerSat + close.feeSat;
  if (gotSat >= dueSat) return [];
  return [{ rule: 'an acked state was not closed by', seen: `${gotSat} of ${dueSat} sat` }];
}

/** Work that is worth nothing to its buyer earns nothing. */
export function paidForNothing({ world: { terms } }: Stage, { close }: Books): readonly Finding[] {
  const gotSat = close === undefined ? 0n : close.minerSat + close.feeSat;
  if (gotSat <= terms.minerReserveSat) return [];
  return [{ rule: 'worthless work is paid', seen: `${gotSat - terms.minerReserveSat} sat` }];
}

/** Time in ms of less than a ping: whoever hears nothing for longer hangs up. */
const STEP_MS = 15_000;

/** So much time in ms, in which both hear of each other. */
export async function together(stage: Stage, forMs: number): Promise<void> {
  for (let spentMs = 0; spentMs < forMs; spentMs += STEP_MS) {
    await stage.rounds(1);
    await stage.world.time.advance(Math.min(STEP_MS, forMs - spentMs));
  }
}

/** What raced, and what chance sold again. */
const BY_CHANCE: ReadonlySet<string> = new Set(['stale_race', 'share_duplicate']);

/** A maker that starts by a wall clock set on by so much sees itself away for longer than work is kept. */
function isLongAgo({ time, terms }: Stage['world'], code: string): boolean {
  return code === 'share_stale' && time.wallOffMs >= backlogMs(terms);
}

/** Who dies has not shown what it found last: where each share is a block, more than may come late. */
const isUnshown = (stage: Stage, code: string): boolean => code === 'late_solutions' && stage.dies('miner');

/** An honest miner is refused nothing else. @param except another code that it may be refused with */
export function refusedNothing(stage: Stage, except?: string): void {
  for (const [code, count] of Object.entries(stage.world.miner?.stats.refused ?? {})) {
    if (count === 0 || code === except || BY_CHANCE.has(code) || isLongAgo(stage.world, code)) continue;
    if (isUnshown(stage, code)) continue;
    stage.find('honest work is refused', code);
  }
}

/** A quiet opening, and so many paid steps. */
export async function paid(stage: Stage, steps: number): Promise<void> {
  if (await stage.open()) await stage.pay(steps);
}

const PARAMS = new WeakMap<SimWorld, ChannelParams>();

/** Everything about the channel, as a side has it; undefined before both halves of the opening are there. */
export async function paramsOf(world: SimWorld): Promise<ChannelParams | undefined> {
  const known = PARAMS.get(world);
  if (known !== undefined) return known;
  for (const side of ['maker', 'miner'] as const) {
    const opening = await loadOpening(world.disks[side].store, world.contractId);
    if (!opening?.accept) continue;
    const { params } = assembleChannel(world.terms, opening.open, opening.accept);
    PARAMS.set(world, params);
    return params;
  }
  return undefined;
}

export async function channelKeys(world: SimWorld, side: Side): Promise<SeedSigner | undefined> {
  const contract = (await storedOf(world, side))?.contract;
  return contract && SIGNERS[side].forChannel(contract.channelIndex);
}

/** Gives a transaction to the network; what it says to that. */
export function send(world: SimWorld, who: string, what: string, hex: string): boolean {
  let answer = 'taken';
  try {
    world.chain.broadcast(hex);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    answer = error.message;
  }
  world.say(`${who} broadcasts ${what}: ${answer}`);
  return answer === 'taken';
}

/** The maker takes the whole channel, as soon as that is possible and for more than anybody bids. */
export async function rob(stage: Stage, satPerKvb = 40_000): Promise<void> {
  const { world } = stage;
  // Too early it is tried once in a while, and refused.
  const isTried = stage.left > 0 && (stage.height % 8 !== 0 || stage.marks.get('robbed') === stage.height);
  if (isTried) return;
  const params = await paramsOf(world);
  const keys = await channelKeys(world, 'maker');
  if (params === undefined || keys === undefined) return;
  const { txid, vout } = params.funding;
  const coin = world.chain.coin(txid, vout, false);
  if (coin === undefined) return;
  const refund = signAndFinalizeRefund(params, satPerKvb, keys);
  const waiting = world.chain.mempoolSpender(txid, vout);
  if (waiting === Transaction.fromHex(refund.hex).getId()) return;
  stage.marks.set('robbed', stage.height);
  send(world, 'the maker', 'a refund', refund.hex);
}

/** A payment from a coin of the wallet of somebody. */
export function payment(
  who: keyof typeof WALLETS,
  coin: { readonly txid: string; readonly vout: number; readonly valueSat: bigint },
  outputs: readonly { readonly scriptHex: string; readonly valueSat: bigint }[],
  version: number,
): string {
  const signer = SIGNERS[who];
  const transaction = new Transaction();
  transaction.version = version;
  transaction.addInput(fromHex(coin.txid).toReversed(), coin.vout, 0xffff_fffd);
  for (const { scriptHex, valueSat } of outputs) transaction.addOutput(fromHex(scriptHex), valueSat);
  const spent = { valueSat: coin.valueSat, publicKey: signer.publicKey('wallet') };
  transaction.setWitness(
    0,
    signP2wpkhInput(transaction, 0, spent, (hash) => signer.signEcdsa('wallet', hash)),
  );
  return transaction.toHex();
}

/** The coin of a side in the funding goes elsewhere, for a higher fee. */
export async function spendTwice({ world }: Stage, side: Side): Promise<void> {
  const funding = (await storedOf(world, 'maker'))?.fundingTx;
  if (funding === undefined) return;
  const used = Transaction.fromHex(funding).ins.map(
    ({ hash, index }) => `${toHex(hash.toReversed())}:${index}`,
  );
  const coins = world.chain.utxos(WALLETS[side]);
  const coin = coins.find(({ txid, vout }) => used.includes(`${txid}:${vout}`));
  if (coin === undefined) return;
  const outputs = [{ scriptHex: WALLETS[side], valueSat: coin.valueSat - 20_000n }];
  send(world, `the ${side}`, 'its coin once more', payment(side, coin, outputs, 2));
}

/** The output of a transaction that pays a wallet. */
export function coinOf(
  hex: string,
  who: keyof typeof WALLETS,
): { readonly txid: string; readonly vout: number; readonly valueSat: bigint } | undefined {
  const transaction = Transaction.fromHex(hex);
  const vout = transaction.outs.findIndex(({ script }) => toHex(script) === WALLETS[who]);
  const output = transaction.outs[vout];
  return output && { txid: transaction.getId(), vout, valueSat: output.value };
}

/** Something anywhere inside a message becomes something else. */
export function altered(message: Message, pick: (limit: number) => number): unknown {
  const copy = structuredClone(message) as Record<string, unknown>;
  let at: Record<string, unknown> | unknown[] = copy;
  for (;;) {
    const keys = Object.keys(at);
    if (keys.length === 0) return copy;
    const key = keys[pick(keys.length)]!;
    const inner = (at as Record<string, unknown>)[key];
    const isDeep = Array.isArray(inner) || isRecord(inner);
    if (isDeep && pick(8) > 0) {
      at = inner as Record<string, unknown>;
      continue;
    }
    (at as Record<string, unknown>)[key] = another(inner, pick);
    return copy;
  }
}

function another(value: unknown, pick: (limit: number) => number): unknown {
  if (typeof value === 'number') return [value + 1, value - 1, 0, 2 ** 31, -1][pick(5)];
  if (typeof value !== 'string' || pick(6) === 0) return [null, '', 0, [], {}, true][pick(6)];
  if (/^[0-9]+$/.test(value) && value.length < 30) return String(BigInt(value) + BigInt(pick(3)) - 1n);
  const at = pick(Math.max(1, value.length));
  return `${value.slice(0, at)}${value[at] === '0' ? '1' : '0'}${value.slice(at + 1)}`;
}

import { Transaction } from 'bitcoinjs-lib';
import { toHex } from '../../src/base/bytes.ts';
import { isRecord } from '../../src/base/json.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import { codecsOf } from '../../src/peer/messages.ts';
import type { Side } from './network.ts';
import { worthSat } from './prices.ts';

/** What a run found wrong: the rule, and what was seen. */
export class Violation extends Error {
  readonly rule: string;
  readonly seen: string;

  constructor(rule: string, seen: unknown) {
    const text = typeof seen === 'string' ? seen : JSON.stringify(seen);
    super(`${rule}: ${text}`);
    this.name = 'Violation';
    this.rule = rule;
    this.seen = text;
  }
}

type Message = {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: Fields;
  readonly result?: Fields;
};
type Fields = Readonly<Record<string, unknown>>;
type ClaimFields = { readonly n: number };
type StateFields = { readonly n: number; readonly work_hashes: string; readonly paid_sat: string };

export type RulesDeps = {
  readonly isHostile: (side: Side) => boolean;
  readonly contractId: string;
  readonly terms: ContractTerms;
  /** Documents of a side that are durable at this very moment, by `<kind> <id>`. */
  readonly durable: (side: Side) => ReadonlyMap<string, string>;
  /** The side's disk was asked to keep this close, and be it in vain: what is due does not wait for it. */
  readonly wasAskedFor: (side: Side, closeTx: string) => boolean;
  /** The network has it already. */
  readonly isWaiting: (hex: string) => boolean;
};

type FundingFields = {
  readonly inputs: readonly { readonly txid: string; readonly vout: number }[];
  readonly change_script: string;
};

/**
 * Holds each line and each transaction, as it leaves a process, against what is durable at that moment
 * (`PROTOCOL.md`): what another party will rely on was on disk before. Remembers what each side was told,
 * to find two contents of one state, and anything that falls.
 */
export class Rules {
  readonly #deps: RulesDeps;
  /** Methods of unanswered requests, by link, side and id. */
  readonly #asked = new Map<string, string>();
  /** Every state that ever left the maker, by number. */
  readonly released = new Map<number, string>();
  /** Every claim of the seal that ever left the miner, by number. */
  readonly #claims = new Map<number, string>();
  ackedN = -1;
  /** The newest acked state when a transaction first left for the chain, by its hex. */
  readonly ackedBefore = new Map<string, number>();
  toldWork = 0n;
  #minerN = -1;
  #minerPaidSat = 0n;
  #makerN = -1;

  constructor(deps: RulesDeps) {
    this.#deps = deps;
  }

  /** A line leaves a process. Throws `Violation`. */
  sent(link: number, from: Side, text: string): void {
    const message = JSON.parse(text) as Message;
    if (!isRecord(message)) return;
    // Of a contract that follows: the audit alone looks at it.
    const contractId = message.params?.['contract_id'] ?? this.#deps.contractId;
    if (contractId !== this.#deps.contractId) return;
    if (message.method !== undefined) {
      const key = `${link} ${from} ${String(message.id)}`;
      const known = this.#asked.get(key);
      // Who uses a number twice cannot be told what the answer is about.
      this.#asked.set(key, known === undefined || known === message.method ? message.method : '');
      if (this.#deps.isHostile(from)) this.#hostileSays(message.method, message.params ?? {});
      else this.#request(from, message.method, message.params ?? {});
      return;
    }
    const asker = from === 'miner' ? 'maker' : 'miner';
    const method = this.#asked.get(`${link} ${asker} ${String(message.id)}`);
    if (method === undefined || message.result === undefined) return;
    if (this.#deps.isHostile(from)) this.#hostileSays(method, message.result);
    else this.#answer(from, method, message.result);
  }

  /**
   * A transaction leaves a process for the chain. What is made again from the disk at any time (a claim of
   * the seal, a bond that comes back) need not be stored as it is. Throws `Violation`.
   */
  broadcast(from: Side, hex: string): void {
    if (this.#deps.isHostile(from)) return;
    if (!this.ackedBefore.has(hex)) this.ackedBefore.set(hex, this.ackedN);
    if (this.#read(from, 'funding') === hex) return;
    const channel = this.#channel(from);
    if (channel?.['close_tx'] === hex) return;
    const { ins } = Transaction.fromHex(hex);
    const isSpend = ins.some(
      ({ hash, index }) =>
        toHex(hash.toReversed()) === channel?.['funding_txid'] && index === channel['funding_vout'],
    );
    if (isSpend && this.#deps.wasAskedFor(from, hex)) return;
    // The other side's, which a child pays for.
    if (isSpend && this.#deps.isWaiting(hex)) return;
    if (this.#takesBack(from, hex)) return;
    // A child of what left before, and was held to this then.
    const parents = new Set(ins.map(({ hash }) => toHex(hash.toReversed())));
    if ([...this.ackedBefore.keys()].some((each) => each !== hex && parents.has(idOf(each)))) return;
    if (isSpend || channel === undefined || channel['status'] === 'opening') {
      throw new Violation('broadcast before it was on disk', { from });
    }
  }

  /** Own coins alone, back to the own change: nothing is promised by that. */
  #takesBack(from: Side, hex: string): boolean {
    const opening = this.#read(from, 'opening');
    if (opening === undefined) return false;
    const { open, accept } = JSON.parse(opening) as Record<string, { funding: FundingFields } | null>;
    const own = (from === 'miner' ? open : accept)?.funding;
    const coins = own?.inputs.map(({ txid, vout }) => `${txid}:${vout}`);
    const { ins, outs } = Transaction.fromHex(hex);
    return (
      ins.every(({ hash, index }) => coins?.includes(`${toHex(hash.toReversed())}:${index}`)) &&
      outs.every(({ script }) => toHex(script) === own?.change_script)
    );
  }

  /** After each step: what is durable never falls, and an acked state is never lost. Throws `Violation`. */
  check(): void {
    const [miner, maker] = (['miner', 'maker'] as const).map((side) =>
      this.#deps.isHostile(side) ? undefined : this.#channel(side),
    );
    if (miner !== undefined) {
      const [n, paidSat] = [Number(miner['n']), BigInt(String(miner['paid_sat']))];
      if (n < this.#minerN) throw new Violation('the newest state of the miner fell', n);
      if (paidSat < this.#minerPaidSat) throw new Violation('paid fell', String(paidSat));
      if (paidSat !== worthSat(this.#deps, this.#deps.durable('miner'), BigInt(String(miner['work'])))) {
        throw new Violation('paid is not what the work is worth', String(paidSat));
      }
      this.#minerN = n;
      this.#minerPaidSat = paidSat;
    }
    if (maker !== undefined) {
      const n = Number(maker['n']);
      if (n < this.#makerN) throw new Violation('the newest state of the maker fell', n);
      this.#makerN = n;
    }
    if (miner !== undefined && this.#minerN < this.ackedN) {
      throw new Violation('an acked state is lost', { acked: this.ackedN, best: this.#minerN });
    }
    for (const side of ['miner', 'maker'] as const) {
      const held = this.#channel(side);
      const proof =
        held && this.#read(side, 'equivocation', `${this.#deps.contractId}:${ten(Number(held['n']))}`);
      if (proof !== undefined && !this.#isAnyHostile) throw new Violation('broken', { side });
    }
  }

  get #isAnyHostile(): boolean {
    return this.#deps.isHostile('miner') || this.#deps.isHostile('maker');
  }

  /** Only remembered: what the honest side makes of it is checked. */
  #hostileSays(method: string, fields: unknown): void {
    if (!isRecord(fields) || method === 'channel.reestablish') return;
    const state = (fields['state'] ?? fields['state0']) as StateFields | undefined;
    if (!isRecord(state)) return;
    if (!this.released.has(state.n)) this.released.set(state.n, JSON.stringify(state));
  }

  #request(from: Side, method: string, params: Fields): void {
    switch (method) {
      case 'channel.open':
        this.#mustHold(from, 'opening', method);
        break;
      case 'channel.tx_signatures':
        this.#mustHold(from, this.#stateName(0), 'funding signatures before state 0');
        break;
      case 'work.batch':
        this.#workSent(from, params);
        break;
      case 'state.sign':
        this.#stateLeaves(from, params['state'] as StateFields);
        break;
      case 'seal.claim':
        this.#claimAsked(from, params);
        break;
      case 'channel.reestablish':
        if (params['state'] !== null) this.#stateShown(from, params['state'] as StateFields);
        break;
      case 'close.sig': {
        const channel = this.#channel(from);
        if (channel?.['status'] !== 'closing' || channel['close_fee_sat'] !== params['fee_sat']) {
          throw new Violation('a close was signed before that was on disk', { from });
        }
        break;
      }
      default:
    }
  }

  #answer(from: Side, method: string, result: Fields): void {
    switch (method) {
      case 'contract.propose':
        this.#mustHold(from, 'contract', method);
        break;
      case 'channel.open':
        this.#mustHold(from, 'opening', method);
        this.#stateLeaves(from, result['state0'] as StateFields);
        break;
      case 'channel.tx_signatures':
        this.#mustHold(from, 'funding', method);
        break;
      case 'work.batch':
        this.#workTold(from, result);
        break;
      case 'channel.reestablish':
        if (result['state'] !== null) this.#stateLeaves(from, result['state'] as StateFields);
        this.#workTold(from, result);
        break;
      case 'state.sign':
        this.#acked(from, Number(result['n']));
        break;
      case 'seal.claim':
        this.#claimLeaves(from, result['claim'] as ClaimFields);
        break;
      case 'close.sig':
        if (this.#channel(from)?.['close_tx'] !== result['close_tx']) {
          throw new Violation('a close left before it was on disk', { from });
        }
        break;
      default:
    }
  }

  /** A state leaves the maker: on its disk, and the only one of its number that ever left. */
  #stateLeaves(from: Side, state: StateFields): void {
    const text = JSON.stringify(state);
    const held = this.#read(from, 'state', `${this.#deps.contractId}:${ten(state.n)}`);
    const known = this.released.get(state.n);
    if (known !== undefined && known !== text) throw new Violation('two contents for one n', state.n);
    this.released.set(state.n, text);
    if (held !== text) throw new Violation('a state left before it was on disk', state.n);
    const claim = this.#seal(from)?.['claim'] as ClaimFields | undefined;
    if (this.#deps.terms.seal !== undefined && state.n > 0 && (claim?.n ?? -1) < state.n) {
      throw new Violation('a state left before its claim was on disk', state.n);
    }
  }

  /** The maker asks for the claim it has on disk as asked for. */
  #claimAsked(from: Side, params: Fields): void {
    const asked = this.#seal(from)?.['asked'] as Fields | null | undefined;
    if (asked?.['n'] !== params['n'] || asked?.['work'] !== params['work']) {
      throw new Violation('a claim was asked for before that was on disk', params['n']);
    }
  }

  /** A claim leaves the miner: on its disk, and the only one of its number that ever left. */
  #claimLeaves(from: Side, claim: ClaimFields): void {
    const text = JSON.stringify(claim);
    const known = this.#claims.get(claim.n);
    if (known !== undefined && known !== text) throw new Violation('two claims for one n', claim.n);
    this.#claims.set(claim.n, text);
    if (JSON.stringify(this.#seal(from)?.['claim']) !== text) {
      throw new Violation('a claim left before it was on disk', claim.n);
    }
  }

  #stateShown(from: Side, state: StateFields): void {
    if (this.#document(from, this.#stateName(state.n)) !== JSON.stringify(state)) {
      throw new Violation('a state was shown that is not on disk', { from, n: state.n });
    }
  }

  #acked(from: Side, n: number): void {
    const held = this.#document(from, this.#stateName(n));
    if (held === undefined) throw new Violation('an ack left before its state was on disk', n);
    if (held !== this.released.get(n) && !this.#isAnyHostile)
      throw new Violation('another state is acked than was sent', n);
    this.ackedN = Math.max(this.ackedN, n);
  }

  #workSent(from: Side, params: Fields): void {
    const total = this.#read(from, 'stream');
    const seq = total === undefined ? 0 : Number((JSON.parse(total) as Fields)['seq']);
    const { firstSeq, shares } = codecsOf('work.batch').params.parse(params);
    const next = firstSeq + shares.length;
    if (next > seq) throw new Violation('work was sent before it was on disk', { next, seq });
  }

  /** What the maker says it has verified is on its disk, and never less than it said before. */
  #workTold(from: Side, result: Fields): void {
    const work = BigInt(String(result['verified_work']));
    const delivery = this.#read(from, 'delivery');
    const held = delivery === undefined ? {} : (JSON.parse(delivery) as Fields);
    if (work > BigInt(String(held['verified_work'] ?? 0))) {
      throw new Violation('work was credited before that was on disk', String(work));
    }
    if (Number(result['next_seq']) > Number(held['next_seq'] ?? 0)) {
      throw new Violation('work was judged before that was on disk', result['next_seq']);
    }
    if (work < this.toldWork) throw new Violation('credited work fell', String(work));
    this.toldWork = work;
  }

  #stateName(n: number): string {
    return `state ${this.#deps.contractId}:${ten(n)}`;
  }

  #mustHold(side: Side, name: string, what: string): void {
    const key = name.includes(' ') ? name : `${name} ${this.#deps.contractId}`;
    if (this.#document(side, key) === undefined) throw new Violation('it left before it was on disk', what);
  }

  #read(side: Side, kind: string, id = this.#deps.contractId): string | undefined {
    return this.#document(side, `${kind} ${id}`);
  }

  #document(side: Side, key: string): string | undefined {
    return this.#deps.durable(side).get(key);
  }

  #seal(side: Side): Fields | undefined {
    const body = this.#read(side, 'seal');
    return body === undefined ? undefined : (JSON.parse(body) as Fields);
  }

  #channel(side: Side): Fields | undefined {
    const body = this.#read(side, 'channel');
    return body === undefined ? undefined : (JSON.parse(body) as Fields);
  }
}

function ten(n: number): string {
  return n.toString().padStart(10, '0');
}

const idOf = (hex: string): string => Transaction.fromHex(hex).getId();

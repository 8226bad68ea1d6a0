import { fromHex, toHex } from '../base/bytes.ts';
import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import { isSchnorrSignature, type Signer } from '../channel/signer.ts';
import { type CourseState, courseOptionsOf } from '../contract/delivery-course.ts';
import type { DeliveryStatus } from '../contract/delivery-state.ts';
import { MinuteChains, type ViewedEffect } from '../contract/minute-chains.ts';
import { headDigest, type MinuteReport, type MinuteRole } from '../contract/minutes.ts';
import { nodeIdOf, otherSide } from '../contract/sides.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { call } from '../peer/calls.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import { firstOfHour, loadMinutes, minuteEntries } from './minute-records.ts';

/** What a side can say of the moment; undefined while no minute of the contract passes. */
export type MinuteView = Pick<MinuteReport, 'height' | 'workHashes' | 'paidHashes' | 'says'> | undefined;

export type MinuteKeeperOptions = {
  readonly contractId: string;
  readonly role: MinuteRole;
  readonly terms: ContractTerms;
  readonly view: () => MinuteView;
  /** Called once the own report of a minute is on disk. */
  readonly onMinute: () => void;
  /** Called where delivery is in default: as both agree, or in the maker's own view. */
  readonly onDefault: () => void;
};

export type MinuteKeeperDeps = {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly signer: Signer;
};

/** The course of a contract's delivery, as a status shows it. */
export type DeliveryView = {
  /** By what both have signed, and in the own view. */
  readonly agreed: DeliveryStatus;
  readonly own: DeliveryStatus;
  /** Hashes to be made up. */
  readonly missingHashes: bigint;
  readonly cureByHeight: number | undefined;
  readonly curtailedBlocks: number;
  /** Minutes by whose fault they were, as both agree. */
  readonly minutes: CourseState['minutes'];
  /** The newest minute of the other side. */
  readonly heardMinute: number | undefined;
};

const MINUTE_MS = 60_000;
/** Time in ms between looks at the clock. */
const LOOK_MS = 5_000;
/** Minutes without a report of the miner after which the maker goes by its own view. */
const SILENT_MINUTES = 10;
/** Exchanges in a row, each with as many reports as one may have. */
const MOST_EXCHANGES = 64;

/**
 * The minute log of a contract at one side: writes the own report of each minute, has it on disk before it
 * is told, takes the other's with its signature, and follows the course of delivery by both.
 */
export class MinuteKeeper {
  readonly #options: MinuteKeeperOptions;
  readonly #deps: MinuteKeeperDeps;
  readonly #chains: MinuteChains;
  readonly #serial = new SerialQueue();
  readonly #started: number;
  #timer: Timer | undefined;
  #isDefault = false;
  /** The minute in which the rest of the other log was asked for last. */
  #askedMinute: number | undefined;

  private constructor(options: MinuteKeeperOptions, chains: MinuteChains, deps: MinuteKeeperDeps) {
    this.#options = options;
    this.#chains = chains;
    this.#deps = deps;
    this.#started = this.#minute;
  }

  /** Loads both logs. Undefined where the terms have no rules of delivery. Throws `ledger_corrupt`. */
  static async load(
    options: MinuteKeeperOptions,
    deps: MinuteKeeperDeps,
  ): Promise<MinuteKeeper | undefined> {
    const { contractId, role, terms } = options;
    if (courseOptionsOf(terms, 'agreed') === undefined) return undefined;
    const chains = new MinuteChains(contractId, role, (view) => courseOptionsOf(terms, view)!);
    const keeper = new MinuteKeeper(options, chains, deps);
    for (const side of [keeper.#other, role]) {
      const reports = await loadMinutes(deps.ledger, contractId, side);
      chains.add(side, chains.follow(side, reports));
    }
    return keeper;
  }

  get #other(): MinuteRole {
    return otherSide(this.#options.role);
  }

  get #minute(): number {
    return Math.floor(this.#deps.clock.nowMs() / MINUTE_MS);
  }

  get status(): DeliveryView {
    const { agreed, own } = this.#chains;
    const { missingHashes, cureByHeight, curtailedBlocks } = agreed.delivery;
    return {
      ...{ agreed: agreed.delivery.status, own: own.delivery.status, missingHashes, cureByHeight },
      ...{ curtailedBlocks, minutes: agreed.minutes },
      heardMinute: this.#chains.last(this.#other)?.minute,
    };
  }

  start(): void {
    this.#timer ??= this.#deps.timers.every(LOOK_MS, () => this.#look());
    if (this.#isDefaulted) this.#defaulted();
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#serial.run(async () => {});
  }

  /** Answers `delivery.minutes`. Throws `bad_signature`, `protocol`. */
  async answer(params: Params<'delivery.minutes'>): Promise<Result<'delivery.minutes'>> {
    await this.#take(params);
    return this.#given(params.next);
  }

  /** Tells the other side what it does not have, and hears what it says; as long as there is more. */
  async exchange(peer: RpcPeer): Promise<void> {
    let next = 0;
    for (let time = 0; time < MOST_EXCHANGES; time += 1) {
      const { contractId } = this.#options;
      const asked = await call(peer, 'delivery.minutes', { contractId, ...this.#given(next) });
      await this.#take(asked);
      const isTold = asked.next > (this.#chains.last(this.#options.role)?.minute ?? -1);
      if (isTold && asked.reports.length < LIMITS.peerMinutes) return;
      next = asked.next;
    }
  }

  /** Own reports from a minute on, signed, and what is not known of the other's. */
  #given(from: number): Result<'delivery.minutes'> {
    const { role } = this.#options;
    const chained = this.#chains.from(role, from, LIMITS.peerMinutes);
    const next = (this.#chains.last(this.#other)?.minute ?? -1) + 1;
    const newest = chained.at(-1);
    if (newest === undefined) return { next, reports: [] };
    return { next, reports: chained.map(({ report }) => report), signature: this.#sign(newest.head) };
  }

  #sign(head: Uint8Array): string {
    return toHex(this.#deps.signer.signSchnorr('node', headDigest(head)));
  }

  /** Takes the other side's reports: what follows what is known, and is signed. */
  #take({ reports, signature }: Result<'delivery.minutes'>): Promise<void> {
    return this.#serial.run(async () => {
      const known = this.#chains.last(this.#other)?.minute ?? -1;
      const fresh = reports.filter(({ minute }) => minute > known);
      const newest = fresh.at(-1);
      if (newest === undefined) return;
      if (newest.minute > this.#minute + LIMITS.minutesAhead)
        throw new CodedError('protocol', `minute ${newest.minute} is still to come`);
      const chained = this.#chains.follow(this.#other, fresh);
      this.#verify(chained.at(-1)!.head, signature);
      await this.#store(this.#other, fresh, signature);
      this.#follow(this.#chains.add(this.#other, chained));
    });
  }

  #verify(head: Uint8Array, signature: string | undefined): void {
    const { terms } = this.#options;
    const nodeId = nodeIdOf(terms, this.#other);
    const isSigned =
      signature !== undefined &&
      isSchnorrSignature(headDigest(head), fromHex(nodeId, 32), fromHex(signature, 64));
    if (!isSigned) throw new CodedError('bad_signature', 'the minute log is not what was signed before');
  }

  /** Writes the report of each minute that has passed; what it could not look at, it was down in. */
  #look(): void {
    const minute = this.#minute - 1;
    const last = this.#chains.last(this.#options.role)?.minute ?? -1;
    if (minute <= last || minute < this.#started) return;
    this.#serial
      .run(() => this.#report(minute))
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.#deps.log.warn({ code: codeOf(error) }, 'the report of a minute could not be written');
      });
  }

  async #report(minute: number): Promise<void> {
    const { role, view } = this.#options;
    const now = view();
    const last = this.#chains.last(role);
    if (minute <= (last?.minute ?? -1)) return;
    if (now === undefined) {
      this.#askRest(minute);
      return;
    }
    const heard = this.#chains.last(this.#other)?.minute ?? 0;
    const report = { ...now, minute, heard };
    const chained = this.#chains.follow(role, [report]);
    await this.#store(role, [report], this.#sign(chained.at(-1)!.head));
    this.#follow(this.#chains.add(role, chained));
    this.#options.onMinute();
  }

  /** Delivery is over: what the other side says of its last minutes is asked for, once a minute. */
  #askRest(minute: number): void {
    const [own, heard] = [this.#options.role, this.#other].map(
      (side) => this.#chains.last(side)?.minute ?? -1,
    );
    if (heard! >= own! || minute === this.#askedMinute) return;
    this.#askedMinute = minute;
    this.#options.onMinute();
  }

  async #store(role: MinuteRole, fresh: readonly MinuteReport[], signature?: string): Promise<void> {
    const { contractId } = this.#options;
    const before = this.#chains.from(role, firstOfHour(fresh[0]!.minute), 60);
    const reports = [...before.map(({ report }) => report), ...fresh];
    await this.#deps.ledger.appendNow(minuteEntries(contractId, role, reports, signature));
  }

  #follow(effects: readonly ViewedEffect[]): void {
    const { contractId } = this.#options;
    for (const { course, ...effect } of effects) {
      const fields = { contract: contractId, course, ...effect };
      if (effect.type !== 'ruled') this.#deps.log.warn(fields, 'delivery');
      else if (effect.ruling !== undefined && course === 'agreed') this.#deps.log.info(fields, 'a minute');
    }
    if (this.#isDefaulted) this.#defaulted();
  }

  /** The maker goes by its own view where the miner says nothing more: else both logs would end before it. */
  get #isDefaulted(): boolean {
    const { agreed, own, heardMinute = 0 } = this.status;
    const isSilent = this.#minute - heardMinute > SILENT_MINUTES;
    return agreed === 'default' || (this.#options.role === 'maker' && own === 'default' && isSilent);
  }

  #defaulted(): void {
    if (this.#isDefault) return;
    this.#isDefault = true;
    this.#options.onDefault();
  }
}

import { Auditor } from '../../src/auditor/auditor.ts';
import type { Random } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { type ChannelParams, channelFacts } from '../../src/channel/params.ts';
import { psbtCoin, signPsbt } from '../../src/channel/psbt.ts';
import { bondSpendRequest } from '../../src/channel/signing-requests.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';
import { handler } from '../../src/peer/calls.ts';
import type { Params } from '../../src/peer/messages.ts';
import type { RpcHandlers } from '../../src/peer/rpc-peer.ts';
import type { PeerLink } from '../../src/peer/transport.ts';
import { AuditorLink } from '../../src/settlement/auditor-link.ts';
import type { OpenedRequest, RequestFolder } from '../../src/settlement/external-signing.ts';
import { identityOfSigner } from '../../src/settlement/opening.ts';
import { MemoryServer } from '../auditor/memory-links.ts';
import type { VirtualTime } from '../base/virtual-time.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { otherSide, type Side } from './network.ts';
import { SIGNERS } from './terms.ts';

/** What a side says to the auditor, or hears from it, with the method it is about. */
export type AuditorLine = {
  readonly side: Side;
  readonly isHeard: boolean;
  readonly about: string;
  readonly message: Readonly<Record<string, unknown>>;
};

type AuditorDeps = {
  readonly terms: ContractTerms;
  readonly time: VirtualTime;
  readonly random: Random;
  readonly params: () => Promise<ChannelParams | undefined>;
};

/** Requests of a side that wait to be signed, on its disk: they outlive its process. */
class Requests implements RequestFolder {
  readonly #asked: { readonly name: string; readonly satPerKvb: number; readonly psbt: string }[] = [];
  readonly #answers = new Map<string, string>();

  open(name: string): readonly OpenedRequest[] {
    return this.#asked.flatMap((each) => {
      const signed = this.#answers.get(keyOf(each));
      if (each.name !== name) return [];
      return [{ satPerKvb: each.satPerKvb, ...(signed === undefined ? {} : { signed }) }];
    });
  }

  ask(name: string, satPerKvb: number, psbt: string): void {
    this.#asked.push({ name, satPerKvb, psbt });
  }

  waiting(prefix: string): ReturnType<RequestFolder['waiting']> {
    return this.#asked.filter((each) => each.name.startsWith(prefix) && !this.#answers.has(keyOf(each)));
  }

  answer(name: string, satPerKvb: number, signed: string): void {
    this.#answers.set(keyOf({ name, satPerKvb }), signed);
  }
}

const keyOf = ({ name, satPerKvb }: { readonly name: string; readonly satPerKvb: number }): string =>
  `${name}.${satPerKvb}`;

/**
 * The auditor of the two: the product's own, over connections of its own, whose lines arrive at once. It may
 * be bought by a side, or by both, forget what a side tells it, or not be there.
 */
export class SimAuditor {
  /** Sides it rules and signs for, whatever the logs say. */
  favours: readonly Side[] = [];
  /** Sides whose minutes it takes, and forgets. */
  forgets: readonly Side[] = [];
  /** What leaves, or is heard, in the place of a line of a hostile side: itself, others, or nothing. */
  alter: (line: AuditorLine) => readonly unknown[] = ({ message }) => [message];
  readonly #server = new MemoryServer();
  readonly #ledger = new MemoryLedger();
  readonly #requests: Readonly<Record<Side, Requests>> = { miner: new Requests(), maker: new Requests() };
  readonly #deps: AuditorDeps;
  #auditor: Auditor | undefined;
  #wasAway = false;

  constructor(deps: AuditorDeps) {
    this.#deps = deps;
  }

  /** It did all that it is for, and nothing else. */
  get isHonest(): boolean {
    return this.favours.length + this.forgets.length === 0 && !this.#wasAway;
  }

  get verdict(): string | undefined {
    return this.#auditor?.status[0]?.verdict;
  }

  async start(): Promise<void> {
    const { terms, time, random } = this.#deps;
    const { clock, timers } = time;
    const allowedNodeIds = new Set([terms.minerNodeId, terms.makerNodeId]);
    const auditor = new Auditor(
      { network: 'regtest', host: 'memory', port: 0, allowedNodeIds },
      {
        ...{ ledger: this.#ledger, signer: SIGNERS.auditor, clock, timers, random, log: silentLogger },
        openServer: (_options, deps) => this.#server.open(deps),
      },
    );
    const honest = auditor.handlers.bind(auditor);
    auditor.handlers = (nodeId) => this.#handlers(nodeId, honest(nodeId));
    this.#auditor = auditor;
    await auditor.start();
  }

  /** It is killed, and starts anew from its disk. */
  async restart(): Promise<void> {
    this.#server.kill();
    await this.start();
  }

  /** It is gone for good. */
  leave(): void {
    this.#wasAway = true;
    this.#server.kill();
  }

  /** What a process of a side has of it. */
  linkOf(
    side: Side,
    life: { readonly ledger: Ledger; readonly log: Logger; readonly isDead: () => boolean },
  ): { readonly auditor: AuditorLink; readonly externalSigning: RequestFolder } {
    const { time, random } = this.#deps;
    const requests = this.#requests[side];
    const auditor = new AuditorLink(
      { host: 'memory', port: 1, nodeId: identityOfSigner(SIGNERS.auditor).nodeId },
      {
        ...{ network: 'regtest', ledger: life.ledger, signer: SIGNERS[side], log: life.log, random },
        ...{ clock: time.clock, timers: time.timers },
        requests: {
          waiting: (prefix) => requests.waiting(prefix),
          answer: (...words) => {
            if (!life.isDead()) requests.answer(...words);
          },
        },
        connect: async (...words) => {
          if (life.isDead()) throw new CodedError('peer_closed');
          return this.#tapped(side, await this.#server.connect(...words));
        },
      },
    );
    return { auditor, externalSigning: requests };
  }

  #tapped(side: Side, link: PeerLink): PeerLink {
    const asked = new Map<string, string>();
    const altered = (isHeard: boolean, text: string): readonly string[] => {
      const message = JSON.parse(text) as Readonly<Record<string, unknown>>;
      const id = `${isHeard !== (message['method'] === undefined)} ${String(message['id'])}`;
      if (typeof message['method'] === 'string') asked.set(id, message['method']);
      const line = { side, isHeard, about: asked.get(id) ?? '', message };
      return this.alter(line).map((each) => JSON.stringify(each));
    };
    return {
      ...{ remoteAddress: link.remoteAddress, exporter: link.exporter },
      get closed() {
        return link.closed;
      },
      keepPlace: () => link.keepPlace(),
      paceReads: (gate) => link.paceReads(gate),
      send: (text) => {
        for (const each of altered(false, text)) link.send(each);
      },
      close: (reason) => link.close(reason),
      listen: ({ onLine, onClose }) =>
        link.listen({
          onClose,
          onLine: (text) => {
            for (const each of altered(true, text)) onLine(each);
          },
        }),
    };
  }

  #handlers(nodeId: string, honest: RpcHandlers): RpcHandlers {
    const side: Side = nodeId === this.#deps.terms.minerNodeId ? 'miner' : 'maker';
    const bought: RpcHandlers = {
      'auditor.minutes': handler('auditor.minutes', async ({ reports }) => ({
        next: reports.at(-1)!.minute + 1,
      })),
      'auditor.ruling': handler('auditor.ruling', async () => ({
        verdict: this.favours.includes(side) ? otherSide(side) : side,
        ...{ words: 'it was paid for that', to: undefined },
      })),
      'auditor.sign': handler('auditor.sign', async (asked) => {
        if (!this.favours.includes(side)) throw new CodedError('not_ruled');
        return { psbt: await this.#signed(side, asked) };
      }),
    };
    const isBought = (method: string): boolean =>
      method === 'auditor.minutes' ? this.forgets.includes(side) : this.favours.length > 0;
    const entries = Object.entries(honest).map(([method, answer]): [string, typeof answer] => [
      method,
      (params) => {
        const other = bought[method];
        return other !== undefined && isBought(method) ? other(params) : answer(params);
      },
    ]);
    return Object.fromEntries(entries);
  }

  /** Signs whatever pays the side that asks: more than the signature of one of three keys it cannot give. */
  async #signed(payee: Side, { owner, feeRateSatPerKvb, psbt }: Params<'auditor.sign'>): Promise<string> {
    const params = await this.#deps.params();
    const bonds = params === undefined ? undefined : channelFacts(params).bonds;
    if (params === undefined || bonds === undefined) throw new CodedError('unknown_channel');
    const coin = { owner, ...psbtCoin(psbt), script: bonds[owner].script };
    return signPsbt(bondSpendRequest(params, { coin, payee, feeRateSatPerKvb }), psbt, SIGNERS.auditor);
  }
}

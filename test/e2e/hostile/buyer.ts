import type { Json } from '../../../src/base/json.ts';
import { ShareVerifier } from '../../../src/maker/verification.ts';
import { RpcPeer } from '../../../src/peer/rpc-peer.ts';
import type { TakeOrder } from './orders.ts';

type WireJob = Readonly<Record<string, Json>>;
type GivenJob = {
  readonly peer: RpcPeer;
  readonly params: { readonly job: WireJob } & Record<string, Json>;
};

const { request } = RpcPeer.prototype;

/** Another block for each block. */
const swapped = (hex: string): string => hex.slice(32) + hex.slice(0, 32);

/** A job that leaves in the place of one of the maker's pool. */
const JOB_TRICKS: Readonly<Record<string, (job: WireJob) => WireJob>> = {
  'foreign chain': (job) => ({ ...job, prevhash: swapped(String(job['prevhash'])) }),
  'easy share target': (job) => ({ ...job, share_target: '7f'.padEnd(64, 'f') }),
  'hard share target': (job) => ({ ...job, share_target: '1'.padStart(32, '0').padEnd(64, '0') }),
};

/** What leaves beside the jobs of the maker's pool, once. */
const MORE_JOBS: Readonly<Record<string, (job: WireJob) => WireJob>> = {
  'same id': (job) => ({ ...job, clean: false }),
  'same work': (job) => ({ ...job, id: later(job), clean: false }),
  'clean on the same block': (job) => ({ ...job, id: later(job), extranonce1: 'aabbccdd', clean: true }),
  'little extranonce': (job) => ({
    ...job,
    id: later(job),
    extranonce1: 'aabbccdd',
    extranonce2_size: 7,
    clean: false,
  }),
  'time ahead': (job) => ({
    ...job,
    id: later(job),
    extranonce1: 'aabbccdd',
    ntime: 'fffffff0',
    clean: false,
  }),
};

let added = 0;

/** An id that the maker has not come to. */
function later({ id }: WireJob): string {
  added += 1;
  return (BigInt(`0x${String(id)}`) + (1n << 30n) + BigInt(added)).toString(16);
}

/** The answer in words. */
async function answerTo(asked: Promise<unknown>): Promise<string> {
  return asked.then(
    () => 'taken',
    (error: unknown) => String((error as { code?: string }).code),
  );
}

class Buyer {
  trick: string | undefined;
  /** On the newest block. */
  #given: GivenJob[] = [];
  #held: (() => void)[] = [];

  readonly take: TakeOrder = async (order) => {
    switch (order.do) {
      case 'play':
        this.trick = order['trick'] as string | undefined;
        for (const go of this.#held.splice(0)) go();
        return {};
      case 'give': {
        const { peer, params } = this.#given.at(-1)!;
        const job = MORE_JOBS[String(order['trick'])]!(params.job);
        return answerTo(request.call(peer, 'work.job', { ...params, job }));
      }
      case 'withdraw':
        return this.#withdraw();
      default:
        throw new Error(`no order ${order.do}`);
    }
  };

  async send(peer: RpcPeer, method: string, params: Json): Promise<unknown> {
    if (method === 'state.sign' && this.trick === 'nothing signed')
      await new Promise<void>((go) => this.#held.push(go));
    if (method !== 'work.job') return request.call(peer, method, params);
    const asked = params as GivenJob['params'];
    const { job } = asked;
    if (this.#given.at(-1)?.params.job['prevhash'] !== job['prevhash']) this.#given = [];
    this.#given.push({ peer, params: asked });
    return request.call(peer, method, {
      ...asked,
      job: (JOB_TRICKS[this.trick ?? ''] ?? ((own) => own))(job),
    });
  }

  /** Takes back every job of this block but the newest, and says what was answered. */
  async #withdraw(): Promise<readonly string[]> {
    const answers: string[] = [];
    for (const { peer, params } of this.#given.slice(0, -1)) {
      const { job, ...subscription } = params;
      answers.push(await answerTo(request.call(peer, 'work.gone', { ...subscription, ids: [job['id']!] })));
    }
    return answers;
  }
}

/** Makes this process a buyer that says something else than its code does. */
export function arm(): TakeOrder {
  const buyer = new Buyer();
  RpcPeer.prototype.request = function (method, params) {
    return buyer.send(this, method, params);
  };
  const { hashAll } = ShareVerifier.prototype;
  ShareVerifier.prototype.hashAll = function (contractId, cases, ...range) {
    hashAll.call(this, contractId, cases, ...range);
    if (buyer.trick === 'refuses without a reason')
      for (let index = 0; index < cases.length; index += 1) cases.codes[index] ??= 'share_low';
  };
  return buyer.take;
}
